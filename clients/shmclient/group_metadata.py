"""What a consumer tells a transactional producer of itself: who reads the input of its transactions (KIP-447).

Bytes, as in confluent_kafka: they may be kept, pickled, and handed to another process.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from shmclient.errors import KafkaError, KafkaException

MAGIC = b"SHMGMv1:"


class GroupIdentity(NamedTuple):
    """A member of a group, as of an epoch; epoch -1 and no id for one that is no member."""

    group: str
    epoch: int = -1
    member_id: str = ""
    instance_id: str | None = None


_decoder = msgspec.msgpack.Decoder(GroupIdentity)


def write_group_metadata(identity: GroupIdentity) -> bytes:
    """``identity`` behind :data:`MAGIC`."""
    return MAGIC + msgspec.msgpack.encode(identity)


def read_group_metadata(data: bytes) -> GroupIdentity:
    """The identity in ``data``.

    Raises:
        TypeError: for anything but bytes.
        KafkaException: _BAD_MSG for bytes that are no group metadata of this client.
    """
    if not isinstance(data, bytes):
        raise TypeError(f"expected bytes, {type(data).__name__} found")
    try:
        if data.startswith(MAGIC):
            return _decoder.decode(data[len(MAGIC) :])
    except msgspec.MsgspecError:
        pass
    text = "group metadata is what consumer_group_metadata() of a consumer of this cluster returns"
    raise KafkaException(KafkaError(KafkaError._BAD_MSG, text))
