from __future__ import annotations

import pickle

import pytest

from shmclient.errors import KafkaError, KafkaException
from shmclient.group_metadata import MAGIC, GroupIdentity, read_group_metadata, write_group_metadata


@pytest.mark.parametrize(
    "identity",
    [GroupIdentity("g"), GroupIdentity("g", 7, "m"), GroupIdentity("g", 7, "m", "one"), GroupIdentity("")],
    ids=repr,
)
def test_what_is_written_is_read(identity: GroupIdentity) -> None:
    data = pickle.loads(pickle.dumps(write_group_metadata(identity)))
    assert read_group_metadata(data) == identity


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        MAGIC,
        MAGIC[:-1],
        MAGIC + b"\x93",
        write_group_metadata(GroupIdentity("g"))[:-1],
        MAGIC + b"\x94\x01\x01\x01\x01",
        b"CGMDv2:\xff\xff\xff\xffg\x00\x00\x01",
    ],
    ids=repr,
)
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(KafkaException) as info:
        read_group_metadata(data)
    assert info.value.args[0].code() == KafkaError._BAD_MSG


@pytest.mark.parametrize("data", [None, "text", 1, bytearray(b"x")], ids=repr)
def test_it_is_bytes(data: object) -> None:
    with pytest.raises(TypeError, match="expected bytes"):
        read_group_metadata(data)  # type: ignore[arg-type]
