"""What the programs of the kill test write and the checker reads."""

from __future__ import annotations

import struct

RECORD = struct.Struct("<IIQ")
"""Start of a value: writer, lane, number in the lane."""
ACK = struct.Struct("<IIQIQ")
"""What a producer was told: writer, lane, number, partition, offset."""
SEEN = struct.Struct("<IQIIQ")
"""What a consumer was given: partition, offset, writer, lane, number."""
