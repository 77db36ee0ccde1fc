"""A partition's log on disk: segments (one LMDB environment each) and those who write and read them.

``segment`` is the descriptor of the file. ``partition_log`` is the log as the broker holds it, on ``active``, the segment that
grows; ``writer`` appends to it. ``reader`` is everybody else's end. ``pages`` looks at a file without believing it, ``mapping``
makes views that outlive a read, ``verification`` says whether a segment can be written.
"""
