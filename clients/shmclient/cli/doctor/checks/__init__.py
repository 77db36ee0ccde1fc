"""One module for each thing that can be wrong: ``check(facts)`` to a finding, pure."""
