"""The newest small batches of all partitions, for readers that stand at the end of a log.

To find a batch in a segment takes five looks into the file and a walk through its pages. Whoever waits for one record at a time
has it from here by one copy. The log is what counts: what is not here any more, or does not fit, is read there.

Layout (little-endian), behind the slots of the partition table::

    line 0    claimed u64: bytes ever written, or being written now
    then      the area: entries at multiples of 8, none across its end
    entry      0  topic id, 16 bytes   16  the batch, as it is in the log

A *place*, which a partition's slot names, is ``position << 16 | size``, 0 for none; ``position`` counts all bytes before the
entry since the area was made.

Commit rule: claim, fence, entry, fence, place. A reader takes the place, passes a fence, copies, passes another and looks at
what is claimed: if that is not over a whole area ahead, nobody has written over the entry.
"""

from __future__ import annotations

from typing import Final

from shmbroker.shm.region import CACHE_LINE_BYTES
from shmbroker.shm.wakeup import make_fence

AREA_BYTES: Final = 256 * 1024
"""A reader that was woken has until so much was written again: some hundred records, of all partitions."""
TAIL_BYTES: Final = CACHE_LINE_BYTES + AREA_BYTES
_TOPIC_ID_BYTES: Final = 16
LONE_BYTES: Final = 4096 - _TOPIC_ID_BYTES
"""The largest batch that is kept here: some records that came alone, not what travels in bulk."""
_SIZE_BITS: Final = 16
_SIZE_MASK: Final = (1 << _SIZE_BITS) - 1


class Tail:
    """A mapping of the tail. One process writes: one that takes over from it, when it died, goes on behind what it claimed.

    Args:
        region: :data:`TAIL_BYTES` of it.
        area_bytes: another size where the protocol is examined.
    """

    __slots__ = ("_area", "_area_bytes", "_fence", "_words")

    def __init__(self, region: memoryview, area_bytes: int = AREA_BYTES) -> None:
        self._words = region.cast("q")
        self._area_bytes = area_bytes
        self._area = region[CACHE_LINE_BYTES : CACHE_LINE_BYTES + area_bytes]
        self._fence = make_fence()

    def close(self) -> None:
        self._words.release()
        self._area.release()

    def put(self, topic_id: bytes, batch: bytes | bytearray) -> int:
        """Write an entry; returns its place, 0 for a batch over :data:`LONE_BYTES`."""
        if len(batch) > LONE_BYTES:
            return 0
        size = _TOPIC_ID_BYTES + len(batch)
        claimed = (size + 7) & -8
        position = self._words[0]
        start = position % self._area_bytes
        if start + claimed > self._area_bytes:
            position += self._area_bytes - start
            start = 0
        self._words[0] = position + claimed
        self._fence()
        self._area[start : start + size] = topic_id + batch
        self._fence()
        return position << _SIZE_BITS | size

    def get(self, place: int, topic_id: bytes) -> bytes | None:
        """The batch at ``place``; None when it was written over, or is of another topic."""
        position, size = place >> _SIZE_BITS, place & _SIZE_MASK
        start = position % self._area_bytes
        self._fence()  # what was stored before the place must be seen after the place was
        entry = bytes(self._area[start : start + size])
        self._fence()
        if self._words[0] - position > self._area_bytes or not entry.startswith(topic_id):
            return None
        return entry[_TOPIC_ID_BYTES:]
