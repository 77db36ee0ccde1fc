"""The daemon: the only writer of logs and metadata."""
