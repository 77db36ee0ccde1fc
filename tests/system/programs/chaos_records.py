"""What the programs of the kill test write and the checker reads."""

from __future__ import annotations

import struct

RECORD = struct.Struct("<IIQ")
"""Start of a value: writer, lane, number in the lane."""
ACK = struct.Struct("<IIQIQ")
"""What a producer was told: writer, lane, number, partition, offset."""
SEEN = struct.Struct("<IQIIQ")
"""What a consumer was given: partition, offset, writer, lane, number."""
EVENT = struct.Struct("<IIQQQIIQ")
"""What happened to a member of a group: kind, partition, when it began and when it was done (monotonic, ns), offset, and of a
record writer, lane, number."""
STARTED, READ, COMMITTED = 1, 2, 3
"""Kinds: the partition was assigned; a record was handed out; an offset was committed and that acknowledged."""
