"""A partition's log on disk: segments (one LMDB environment each) and those who write and read them.

``segment`` is the descriptor of the file, ``writer`` the broker's end (on ``active``, the segment that grows), ``reader``
everybody else's. ``pages`` looks at a file without believing it, ``mapping`` makes views that outlive a read,
``verification`` says whether a segment can be written.
"""
