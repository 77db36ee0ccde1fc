"""The transaction coordinator: pure, as ``groups/``. :mod:`~shmbrokerd.transactions.states` has the theory."""
