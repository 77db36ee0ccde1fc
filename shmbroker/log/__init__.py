"""A partition's log on disk: segments (one LMDB environment each) and those who write and read them.

``segment`` is the descriptor of the file, ``environments`` opens each file once per process, ``writer`` is the broker's
end, ``reader`` everybody else's, ``mapping`` makes views that outlive a read, ``times`` finds offsets by timestamp.
"""
