"""Every public name of confluent_kafka exists in shmclient; what does not, is listed here with its reason.

The two client modules are compared with each other; no broker is needed.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from typing import Any

import pytest
from support.backends import skip_or_fail

MODULES = ["", "admin", "serialization", "error"]

SECURITY = "who may do what is the file system's business on one host"
SHARE = "share groups are out of scope"
LIBRDKAFKA = "names the C library or its helpers"
REGISTRY = "belongs to the schema registry"

MISSING = {
    "Consumer.set_sasl_credentials": SECURITY,
    "Producer.set_sasl_credentials": SECURITY,
    "AcknowledgeType": SHARE,
    "ConcurrentModificationException": SHARE,
    "DeserializingShareConsumer": SHARE,
    "IllegalStateException": SHARE,
    "Messages": SHARE,
    "ShareConsumer": SHARE,
    "consistent": LIBRDKAFKA,
    "fnv1a": LIBRDKAFKA,
    "murmur2": LIBRDKAFKA,
    "libversion": LIBRDKAFKA,
    "version": LIBRDKAFKA,
    "admin.AclBinding": SECURITY,
    "admin.AclBindingFilter": SECURITY,
    "admin.AclPermissionType": SECURITY,
    "admin.ScramCredentialInfo": SECURITY,
    "admin.ScramMechanism": SECURITY,
    "admin.UserScramCredentialAlteration": SECURITY,
    "admin.UserScramCredentialDeletion": SECURITY,
    "admin.UserScramCredentialUpsertion": SECURITY,
    "admin.UserScramCredentialsDescription": SECURITY,
    "admin.AdminClient.alter_user_scram_credentials": SECURITY,
    "admin.AdminClient.create_acls": SECURITY,
    "admin.AdminClient.delete_acls": SECURITY,
    "admin.AdminClient.describe_acls": SECURITY,
    "admin.AdminClient.describe_user_scram_credentials": SECURITY,
    "admin.AdminClient.elect_leaders": "one broker leads all partitions",
    "serialization.DeserializerBuilder": REGISTRY,
    "serialization.SerializerBuilder": REGISTRY,
}
"""A name that comes to exist fails the test until it leaves this list."""

METHODS_OF_SERIALIZERS = {"close", "set_cluster_id_resolver"}
"""Of the schema registry's serializers; the basic ones inherit them and do nothing with them."""


def public(owner: Any) -> set[str]:
    """The names a program may use: no private ones, but librdkafka's own error codes (`_PARTITION_EOF`)."""
    return {name for name in dir(owner) if not name.startswith("_") or isinstance(getattr(owner, name), int)}


def is_foreign(prefix: str, value: Any) -> bool:
    """True for what a module has merely imported."""
    home = getattr(value, "__module__", None) or ""
    return inspect.ismodule(value) or home in {"typing", "enum"} or bool(prefix and home.endswith("cimpl"))


def load(package: str, module: str) -> Any:
    """A module of one of the two packages."""
    return importlib.import_module(f"{package}.{module}" if module else package)


@pytest.fixture(params=MODULES)
def pair(request: pytest.FixtureRequest) -> tuple[str, Any, Any]:
    """A prefix, confluent_kafka's module and ours."""
    if importlib.util.find_spec("confluent_kafka") is None:
        skip_or_fail("confluent_kafka is not installed: install the extra `kafka`")
    module = request.param
    return f"{module}." if module else "", load("confluent_kafka", module), load("shmclient", module)


def missing_of(prefix: str, theirs: Any, ours: Any) -> set[str]:
    """Names of a module, and of its classes, that ours has not."""
    missing = set()
    for name in public(theirs):
        value = getattr(theirs, name)
        if is_foreign(prefix, value) or name == "string_type":
            continue
        if not hasattr(ours, name):
            missing.add(prefix + name)
        elif inspect.isclass(value):
            gaps = public(value) - inherited(theirs, value) - public(getattr(ours, name))
            missing |= {f"{prefix}{name}.{gap}" for gap in gaps - METHODS_OF_SERIALIZERS}
    return missing


def inherited(module: Any, cls: type) -> set[str]:
    """Names that a class has from another public class of its module, which is compared itself."""
    bases = [base for base in cls.__mro__[1:] if not base.__name__.startswith("_")]
    return {name for base in bases if getattr(module, base.__name__, None) is base for name in public(base)}


def test_every_public_name_is_there(pair: tuple[str, Any, Any]) -> None:
    prefix, theirs, ours = pair
    listed = {name for name in MISSING if owner_of(name) == prefix.rstrip(".")}
    assert missing_of(prefix, theirs, ours) == listed


def owner_of(name: str) -> str:
    """The module that a listed name belongs to."""
    first = name.partition(".")[0]
    return first if first in MODULES else ""


def test_every_constant_has_the_same_value(pair: tuple[str, Any, Any]) -> None:
    _, theirs, ours = pair
    owners = [(theirs, ours)]
    owners += [
        (value, getattr(ours, name))
        for name, value in vars(theirs).items()
        if shared_class(ours, name, value)
    ]
    for their, our in owners:
        for name in public(their) & public(our):
            value = getattr(their, name)
            if isinstance(value, (int, str)):
                assert getattr(our, name) == value, f"{our}.{name}"


def shared_class(ours: Any, name: str, value: Any) -> bool:
    """True for a class that both modules have."""
    return inspect.isclass(value) and inspect.isclass(getattr(ours, name, None))
