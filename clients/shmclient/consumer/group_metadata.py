"""What a consumer tells a transactional producer of itself: who reads the input of its transactions (KIP-447)."""

from __future__ import annotations

import msgspec

from shmclient.consumer.offsets import Identity

MAGIC = b"SHMGMv1:"


def group_metadata(group: str, identity: Identity) -> bytes:
    """(group, epoch, member id, instance id) behind :data:`MAGIC`; with epoch -1 and no id for one that is no member."""
    fields = (group, identity.epoch, identity.member_id, identity.instance_id)
    return MAGIC + msgspec.msgpack.encode(fields)
