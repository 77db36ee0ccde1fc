"""Configuration of clients: the table of every key, and the parser from a dict to a typed `ClientConfig`."""

from shmclient.config.client_config import ClientConfig
from shmclient.config.key import ClientKind, Key
from shmclient.config.parse import merge_arguments, parse_config
from shmclient.config.table import BY_NAME, KEYS

__all__ = ["BY_NAME", "KEYS", "ClientConfig", "ClientKind", "Key", "merge_arguments", "parse_config"]
