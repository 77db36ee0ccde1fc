"""Topics, configs, producer ids and committed offsets, decided without touching anything.

A handler takes (state, request, and what else it needs: settings, time, random bytes) and returns a
:class:`~shmbrokerd.controller.decision.Decision`: records, a reply, effects. ``State.apply`` of records is
the only path that changes state, at run time and when the store is replayed at start. No clock, file, socket
or thread here.
"""
