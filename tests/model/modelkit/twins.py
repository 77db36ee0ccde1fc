"""Process-local twins of a region, its words, a fence and a descriptor: every access is a step of a :class:`Cpu`."""

from __future__ import annotations

import struct
from typing import Any

from modelkit.sides import Cpu

CHUNK_BYTES = 8


class Region:
    """A session's region; accesses are cut into aligned pieces of 8 bytes, each loaded or stored at once."""

    def __init__(self, cpu: Cpu, name: str, start: int = 0, stop: int = 1 << 30) -> None:
        self._cpu = cpu
        self._name = name
        self._start = start
        self._stop = stop

    def cast(self, _format: str) -> Words:
        return Words(self._cpu, self._name)

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            start, stop, _ = key.indices(len(self))
            return View(self._cpu, self._name, self._start + start, self._start + stop)
        return self.read(key, 1)[0]

    def __setitem__(self, key: slice, content: Any) -> None:
        start, stop, _ = key.indices(len(self))
        assert stop - start == len(content), "memoryview slices keep their size"
        self.write(start, bytes(content))

    def read(self, start: int, size: int) -> bytes:
        first, last = self._pieces(start, size)
        content = b"".join(
            self._cpu.load((self._name, piece)).to_bytes(CHUNK_BYTES, "little", signed=True)
            for piece in range(first, last)
        )
        skip = (self._start + start) % CHUNK_BYTES
        return content[skip : skip + size]

    def write(self, start: int, content: bytes) -> None:
        assert (self._start + start) % CHUNK_BYTES == 0, "both sides keep to multiples of 8"
        assert self._start + start + len(content) <= self._stop, "a store beyond the end"
        padded = content.ljust(-(-len(content) // CHUNK_BYTES) * CHUNK_BYTES, b"\0")
        first, last = self._pieces(start, len(padded))
        for piece, (value,) in zip(range(first, last), struct.iter_unpack("<q", padded), strict=True):
            self._cpu.store((self._name, piece), value)

    def _pieces(self, start: int, size: int) -> tuple[int, int]:
        begin = self._start + start
        assert self._start <= begin <= begin + size <= self._stop, "an access beyond the end"
        return begin // CHUNK_BYTES, -(-(begin + size) // CHUNK_BYTES)


class View(Region):
    """A slice of a region. Copying it loads it."""

    def __bytes__(self) -> bytes:
        return self.read(0, len(self))

    def __iter__(self) -> Any:
        return iter(bytes(self))


class Words:
    """Words of 8 bytes."""

    def __init__(self, cpu: Cpu, name: str) -> None:
        self._cpu = cpu
        self._name = name

    def __getitem__(self, index: int) -> int:
        value: int = self._cpu.load((self._name, index))
        return value

    def __setitem__(self, index: int, value: int) -> None:
        self._cpu.store((self._name, index), value)


class Layout:
    """A ``struct.Struct`` that packs into twins."""

    def __init__(self, real: struct.Struct) -> None:
        self._real = real
        self.size = real.size

    def pack_into(self, region: Region, position: int, *fields: Any) -> None:
        region.write(position, self._real.pack(*fields))

    def unpack_from(self, region: Region, position: int) -> tuple[Any, ...]:
        return self._real.unpack(region.read(position, self._real.size))


class Event:
    """Twin of a pipe or eventfd."""

    def __init__(self, cpu: Cpu, name: str) -> None:
        self._cpu = cpu
        self._name = name

    def ring(self) -> None:
        self._cpu.ring(self._name)

    def poll(self, timeout_ms: int) -> tuple[bool, list[int]]:
        return self._cpu.poll(self._name), []

    def drain(self) -> None:
        self._cpu.drain(self._name)


class Fence:
    """Twin of the barrier, for code that makes its own."""

    def __init__(self) -> None:
        self._cpu = Cpu.current

    def __call__(self) -> None:
        self._cpu.fence()


class NoFence(Fence):
    """The mutation that every protocol must be caught with."""

    def __call__(self) -> None:
        pass
