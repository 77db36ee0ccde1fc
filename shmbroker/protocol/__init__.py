"""The control protocol: typed messages, their frames, and a blocking channel over a Unix socket.

Nothing here is on the per-record path: records travel through shared memory (see ``shmbroker.shm``).
"""
