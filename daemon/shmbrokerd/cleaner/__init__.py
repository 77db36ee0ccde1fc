"""The cleaner process: it keeps the last record of each key in topics with ``cleanup.policy=compact``.

A process of its own, so that hashing keys takes nothing from the append loop, and what goes wrong here ends nothing else. It
only reads the log; the segments it writes appear in it when the broker swaps them in. ``rules`` says which log and which
segments, ``retainer`` which records, ``offset_map`` remembers keys in bounded memory, ``throttle`` how fast; ``survey`` and
``cleaning`` read and write, ``process`` talks to the main process."""
