"""A client of the control protocol and the ring that keeps no rule unless told to."""

from __future__ import annotations

import base64
import os
import socket
import struct
from collections.abc import Callable

from crc32c import crc32c

from shmbroker.protocol import messages as m
from shmbroker.protocol.channel import Channel
from shmbroker.protocol.framing import Codec
from shmbroker.records.builder import Columns, build_batch
from shmbroker.records.layout import Codec as Compression
from shmbroker.shm.region import map_session_fd
from shmbroker.shm.ring import RingWriter, topic_tag
from shmbroker.shm.session import (
    COMPLETION_HEAD_WORD,
    COMPLETION_TAIL_WORD,
    RING_HEAD_WORD,
    RING_TAIL_WORD,
    read_header,
)
from shmbroker.shm.wakeup import ring
from shmclient.testing import EmbeddedBroker


class RawClient:
    """A control connection that has said hello."""

    def __init__(self, broker: EmbeddedBroker, name: str = "hostile") -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(broker.runtime_dir / "control.sock"))
        self.channel: Channel[m.Request, m.Response] = Channel(
            self.socket, Codec(m.Request), Codec(m.Response)
        )
        self._correlation_id = 0
        assert isinstance(self.request(m.Hello(m.PROTOCOL_VERSION, name, "tests")), m.HelloReply)

    def request(self, body: m.RequestBody, timeout_s: float = 20.0) -> m.ResponseBody:
        self._correlation_id += 1
        self.channel.send(m.Request(self._correlation_id, body))
        return self.channel.receive(timeout_s).body

    def is_closed(self) -> bool:
        """True once the daemon has ended the connection; what it still says is skipped."""
        try:
            return not self.socket.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    def close(self) -> None:
        self.channel.close()


class RawProducer(RawClient):
    """One with a ring whose every byte and index can be written."""

    def __init__(self, broker: EmbeddedBroker, topic: str, ring_bytes: int = 65536) -> None:
        super().__init__(broker)
        described = self.request(m.DescribeTopics([topic], allow_auto_create=True))
        assert isinstance(described, m.DescribeTopicsReply)
        info = described.topics[0]
        self.slot = info.partitions[0].slot
        self.tag = topic_tag(base64.urlsafe_b64decode(f"{info.topic_id}=="))
        reply = self.request(m.AttachProducer(ring_bytes))
        assert isinstance(reply, m.AttachReply), reply
        region_fd, self.bell, self.doorbell = self.channel.take_fds(3)
        self.region = map_session_fd(region_fd)
        os.close(region_fd)
        self.layout = read_header(self.region)
        self.view = memoryview(self.region)
        self.words = self.view.cast("q")
        self.ring = RingWriter(self.view, self.layout)
        self.requests = 0

    def batch(self, *values: bytes) -> bytes:
        """A batch as it should be."""
        return b"".join(build_batch(Columns(values), 1_700_000_000_000))

    def nonsense(self) -> bytes:
        """A whole batch with a good CRC whose compressed columns nobody can unpack."""
        header, body = build_batch(Columns((os.urandom(500),)), 1_700_000_000_000, codec=Compression.GZIP)
        batch = bytearray(header + body)
        batch[140:150] = bytes(10)
        batch[32:36] = crc32c(bytes(batch[36:])).to_bytes(4, "little")
        return bytes(batch)

    def write(self, batch: bytes, acks: int = 1, slot: int | None = None) -> None:
        """Publish ``batch``, whatever its bytes, in a frame as it should be."""
        self.requests += 1
        where = self.slot if slot is None else slot
        assert self.ring.try_write(self.requests, where, acks, batch[:128], batch[128:], topic_tag=self.tag)
        self.knock()

    def poke(self, at: int, data: bytes, tail: int) -> None:
        """Write raw bytes into the ring and publish up to ``tail``."""
        start = self.layout.ring_start + at
        self.view[start : start + len(data)] = data
        self.words[RING_TAIL_WORD] = tail
        self.knock()

    def knock(self) -> None:
        ring(self.doorbell)

    def close(self) -> None:
        super().close()
        if self.region.closed:
            return
        for fd in (self.bell, self.doorbell):
            os.close(fd)
        del self.ring
        self.words.release()
        self.view.release()
        self.region.close()


def frame(size: int, kind: int, slot: int, batch_bytes: int, tag: int, request_id: int = 1) -> bytes:
    """A frame's header."""
    return struct.pack("<IIQIiII", size, kind, request_id, slot, 1, batch_bytes, tag)


Attack = Callable[[RawProducer], None]


def break_header(offset: int, data: bytes) -> Attack:
    """A batch whose CRC fits and whose header holds ``data`` at ``offset``."""

    def attack(client: RawProducer) -> None:
        batch = bytearray(client.batch(b"one", b"two"))
        batch[offset : offset + len(data)] = data
        batch[32:36] = crc32c(bytes(batch[36:])).to_bytes(4, "little")
        client.write(bytes(batch))

    return attack


def break_column(offset: int, data: bytes) -> Attack:
    """A batch whose CRC and header fit and whose first column, of value offsets, holds ``data`` at ``offset``."""
    return break_header(128 + offset, data)


def set_word(word: int, value: int) -> Attack:
    def attack(client: RawProducer) -> None:
        client.words[word] = value
        client.write(client.batch(b"after")) if word in (COMPLETION_HEAD_WORD,) else client.knock()

    return attack


def _crc(client: RawProducer) -> None:
    batch = bytearray(client.batch(b"one", b"two"))
    batch[-9] ^= 1
    client.write(bytes(batch))


def _length(client: RawProducer) -> None:
    client.write(client.batch(b"one")[:-8])


def _short(client: RawProducer) -> None:
    client.write(b"SHMB")


def _empty(client: RawProducer) -> None:
    client.write(b"")


def _never_reads(client: RawProducer) -> None:
    """More requests than the completion ring has entries, and not one answer taken."""
    batch = client.batch(b"x")
    for _ in range(client.layout.completion_entries + 1):
        before = client.words[RING_HEAD_WORD]
        client.write(batch)
        while client.words[RING_HEAD_WORD] == before and not client.is_closed():
            pass
        if client.is_closed():
            return


ATTACKS: dict[str, Attack] = {
    "tail far ahead": set_word(RING_TAIL_WORD, 1 << 40),
    "tail negative": set_word(RING_TAIL_WORD, -8),
    "tail at the largest number": set_word(RING_TAIL_WORD, 2**63 - 8),
    "tail not aligned": set_word(RING_TAIL_WORD, 33),
    "a frame of no kind": lambda c: c.poke(0, frame(64, 7, c.slot, 32, c.tag), 64),
    "a frame of no bytes": lambda c: c.poke(0, frame(0, 1, c.slot, 0, c.tag), 64),
    "a frame beyond the tail": lambda c: c.poke(0, frame(4096, 1, c.slot, 4064, c.tag), 64),
    "a frame beyond the ring": lambda c: c.poke(0, frame(0xFFFFFFF8, 1, c.slot, 32, c.tag), 64),
    "a batch longer than its frame": lambda c: c.poke(0, frame(64, 1, c.slot, 0xFFFFFFFF, c.tag), 64),
    "padding in the middle": lambda c: c.poke(0, frame(64, 2, c.slot, 0, c.tag), 64),
    "zeros": lambda c: c.poke(0, bytes(1024), 1024),
    "a wrong CRC": _crc,
    "a batch cut short": _length,
    "a batch without a header": _short,
    "an empty batch": _empty,
    "another magic": break_header(0, b"KAFK"),
    "another version": break_header(4, b"\x09"),
    "a wrong length": break_header(36, struct.pack("<I", 5)),
    "an unknown codec": break_header(42, b"\x77"),
    "unknown flags": break_header(40, b"\xff\xff"),
    "no records": break_header(44, struct.pack("<I", 0)),
    "too many records": break_header(44, struct.pack("<I", 0xFFFFFFFF)),
    "a body that is not there": break_header(84, struct.pack("<I", 1 << 30)),
    "columns beyond the body": break_header(88, struct.pack("<10I", *[1 << 30] * 10)),
    "values that begin before the first": break_column(0, struct.pack("<i", -1)),
    "values that end behind the last": break_column(8, struct.pack("<i", 1 << 20)),
    "columns that run backwards": break_header(88, struct.pack("<10I", *range(100, 0, -10))),
    "completions read that never were": set_word(COMPLETION_HEAD_WORD, 1 << 40),
    "completions unread": set_word(COMPLETION_HEAD_WORD, -(1 << 40)),
    "answers never taken": _never_reads,
}
"""What a client can do to its ring. All of it is noticed, and costs the client its session."""

HARMLESS: dict[str, Attack] = {
    "tail of the answers": set_word(COMPLETION_TAIL_WORD, 1 << 40),
    "head of the ring": set_word(RING_HEAD_WORD, 1 << 40),
    "magic of the region": set_word(0, 0),
    "sizes in the region's header": set_word(4, 1 << 50),
}
"""Words that only the daemon writes, and does not read back."""
