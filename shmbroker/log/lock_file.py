"""LMDB's lock file, as far as it says who reads.

::

    0    magic 0xBEEFC0DE, u32       the header takes two cache lines, then comes a cache line for each slot:
    4    format, u32                 0    commit that is read, u64 (all ones: none)
    56   slots ever used, u32        8    pid, 0 for a free slot
    128  slots                       16   thread

Only looked at, never written; LMDB itself clears the file when nobody has it open (lmdb 0.9, ``MDB_txninfo``).
"""

from __future__ import annotations

import struct
from typing import Final

MAGIC: Final = 0xBEEFC0DE
FIRST_SLOT_AT: Final = 128
SLOT_BYTES: Final = 64
MAX_SLOTS: Final = 1024
"""LMDB's default is 126; what a damaged file says is not believed."""
HEAD_BYTES: Final = FIRST_SLOT_AT + MAX_SLOTS * SLOT_BYTES

_MAGIC_FIELD = struct.Struct("<I")
_SLOTS_AT: Final = 56
_PID_AT: Final = 8


def reader_pids(head: bytes) -> set[int]:
    """Pids in the reader slots; ``head`` is the start of a lock file, up to HEAD_BYTES. Empty for what is no lock file."""
    if len(head) < FIRST_SLOT_AT or _MAGIC_FIELD.unpack_from(head)[0] != MAGIC:
        return set()
    used = min(_MAGIC_FIELD.unpack_from(head, _SLOTS_AT)[0], MAX_SLOTS)
    ends = range(
        FIRST_SLOT_AT + SLOT_BYTES, min(len(head), FIRST_SLOT_AT + used * SLOT_BYTES) + 1, SLOT_BYTES
    )
    pids = {_MAGIC_FIELD.unpack_from(head, end - SLOT_BYTES + _PID_AT)[0] for end in ends}
    return pids - {0}
