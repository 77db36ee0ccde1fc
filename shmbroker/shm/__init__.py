"""Shared memory: regions, the layouts in them, and the sleep/wake protocol.

One descriptor module per layout: ``table`` (figures of every partition), ``session`` (one client's region),
``counters`` (what ``shmbroker top`` shows). ``ring`` and ``completions`` are the two queues of a producer's
session; ``wakeup`` is how either side sleeps.
"""
