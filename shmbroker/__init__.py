"""What the daemon and the clients must agree on: records, log format, shared memory, protocol, errors."""

__version__ = "0.1.0"
