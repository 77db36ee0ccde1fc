"""Which clients belong to a Kafka cluster, and how one becomes a client of it."""

from __future__ import annotations

import functools
import importlib
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shmclient.connection.bootstrap import effective_bootstrap, is_local
from shmclient.errors import KafkaError, KafkaException

if TYPE_CHECKING:
    from shmclient.config.key import ClientKind

BOOTSTRAP_NAMES = ("bootstrap.servers", "metadata.broker.list")
MINIMUM_VERSION = (2, 13)
"""The first confluent_kafka whose producers can be closed."""

_CLASSES: dict[ClientKind, str] = {
    "producer": "RemoteProducer",
    "consumer": "RemoteConsumer",
    "admin": "RemoteAdminClient",
}


def hand_over(client: Any, kind: ClientKind, given: Mapping[str, Any]) -> bool:
    """Make ``client`` one of the Kafka cluster that its configuration names; False where it names a daemon of this host.

    The client gets another class, so that no call of a local client ever asks which kind it is: a subclass of its own
    class and of its counterpart in this package, in that order. Calls of ``super()`` in subclasses end there.

    Raises:
        KafkaException: _INVALID_ARG without a usable confluent_kafka, or for what it says of the configuration.
    """
    configured = configured_bootstrap(given)
    if is_local(configured):
        return False
    address = effective_bootstrap(configured)
    check_library(address)
    remote = getattr(importlib.import_module(f"shmclient.remote.{kind}"), _CLASSES[kind])
    cls: type = type(client)
    client.__class__ = _mixed(cls, remote)
    client._attach(given, address)
    return True


def configured_bootstrap(given: Mapping[str, Any]) -> str | None:
    """``bootstrap.servers`` under either of its names; the last one given counts."""
    values = [value for name, value in given.items() if name in BOOTSTRAP_NAMES and value is not None]
    return str(values[-1]) if values else None


def check_library(address: str) -> None:
    """Raise KafkaException(_INVALID_ARG), which says what to install, unless confluent_kafka can be used."""
    try:
        library = importlib.import_module("confluent_kafka")
    except ImportError as error:
        problem = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
        raise _not_usable(address, problem) from error
    reported = library.version()  # text, or text and number, as versions of it go
    version: str = reported if isinstance(reported, str) else reported[0]
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_VERSION:
        raise _not_usable(address, f" (confluent_kafka {version} is too old)")


def _not_usable(address: str, problem: str) -> KafkaException:
    text = f"bootstrap.servers={address} is a Kafka cluster: pip install 'shmbroker[kafka]'{problem}"
    return KafkaException(KafkaError(KafkaError._INVALID_ARG, text))


@functools.cache
def _mixed(cls: type, remote: type) -> type:
    if issubclass(remote, cls):
        return remote
    namespace = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__slots__": (),
    }
    return types.new_class(cls.__name__, (cls, remote), exec_body=lambda body: body.update(namespace))
