"""What the daemon knows and keeps: rows, the state they make, and decisions that change it.

Whoever decides (``controller``, ``groups``) takes (state, request, and what else it needs: settings, time, random bytes) and
returns a :class:`~shmbrokerd.metadata.decision.Decision`: records, a reply, effects. ``State.apply`` of records is the only
path that changes state, at run time and when the store is replayed at start. No clock, file, socket or thread here.
"""
