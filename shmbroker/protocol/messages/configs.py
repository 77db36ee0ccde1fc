"""Settings of topics and of the daemon."""

from __future__ import annotations

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages.base import Message


class ConfigResourceSpec(Message):
    resource_type: str
    """``topic`` or ``broker``."""
    name: str


class ConfigEntryInfo(Message):
    name: str
    value: str | None
    source: str
    """``DYNAMIC_TOPIC_CONFIG``, ``DYNAMIC_BROKER_CONFIG``, ``STATIC_BROKER_CONFIG`` or ``DEFAULT_CONFIG``."""
    read_only: bool
    sensitive: bool
    synonyms: list[tuple[str, str | None, str]]
    """(name, value, source) in order of precedence."""
    documentation: str


class DescribeConfigs(Message):
    resources: list[ConfigResourceSpec]


class ConfigDescription(Message):
    resource: ConfigResourceSpec
    entries: list[ConfigEntryInfo]
    code: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


class DescribeConfigsReply(Message):
    descriptions: list[ConfigDescription]


class ConfigChange(Message):
    name: str
    operation: str
    """``SET``, ``DELETE``, ``APPEND`` or ``SUBTRACT`` (KIP-339)."""
    value: str | None = None


class ConfigAlteration(Message):
    resource: ConfigResourceSpec
    changes: list[ConfigChange]


class AlterConfigs(Message):
    """Incremental unless ``replace``: then every key not named goes back to its default."""

    alterations: list[ConfigAlteration]
    replace: bool = False
    validate_only: bool = False
