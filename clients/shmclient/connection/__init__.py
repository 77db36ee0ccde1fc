"""How a client reaches its daemon: where to look, the control connection, and what is attached over it.

`selection` finds out which clients are those of a Kafka cluster and hands them over to `shmclient.remote`.
"""

from shmclient.connection.bootstrap import effective_bootstrap, is_local, runtime_dirs
from shmclient.connection.connection import Connection

__all__ = ["Connection", "effective_bootstrap", "is_local", "runtime_dirs"]
