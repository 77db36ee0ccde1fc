"""How a client reaches its daemon: where to look, the control connection, and what is attached over it."""

from shmclient.connection.bootstrap import effective_bootstrap, is_local, runtime_dirs
from shmclient.connection.connection import Connection

__all__ = ["Connection", "effective_bootstrap", "is_local", "runtime_dirs"]
