"""Views of a segment's bytes that stay good for as long as anybody holds them.

py-lmdb hands out views of LMDB's own mapping, which dies with the environment whether or not somebody still looks. A view
for the application is therefore made on a mapping of our own over the same pages of the page cache: Python's buffer
protocol keeps that mapping alive until the last view of it is gone, also after the segment was closed or deleted.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

from shmbroker.log.segment import storage_error

_PAGE_MASK = mmap.PAGESIZE - 1


class _PyBuffer(ctypes.Structure):
    """CPython's Py_buffer, part of the stable ABI since 3.11."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_PyBuffer),)


def address_of(view: memoryview) -> int:
    """Memory address of a contiguous view's first byte."""
    buffer = _PyBuffer()
    _get_buffer(view, ctypes.byref(buffer), 0)
    try:
        return int(buffer.buf or 0)
    finally:
        _release_buffer(ctypes.byref(buffer))


def find_mapping(path: Path) -> tuple[int, int]:
    """(start, end) address at which this process has the beginning of ``path`` mapped.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR when it does not.
    """
    inode, name = path.stat().st_ino, str(path.resolve())
    with open("/proc/self/maps") as maps:
        for line in maps:
            # The device column cannot be compared: overlayfs and btrfs show another one here than in stat.
            addresses, _permissions, offset, _device, line_inode, *rest = line.split(None, 5)
            if int(line_inode) == inode and int(offset, 16) == 0 and rest and rest[0].rstrip("\n") == name:
                start, end = addresses.split("-")
                return int(start, 16), int(end, 16)
    raise storage_error(path, "is not mapped", "no such line in /proc/self/maps")


class SegmentMapper:
    """Turns views of one open environment into views of mappings of our own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._start, self._end = find_mapping(path)
        except BaseException:
            os.close(self._fd)
            raise

    def anchor(self, view: memoryview) -> memoryview:
        """The same bytes, read-only, in a mapping that lives as long as the returned view and its slices.

        Raises:
            BrokerError: KAFKA_STORAGE_ERROR when the file was cut short under the log.
        """
        size = len(view)
        address = address_of(view)
        if not self._start <= address <= self._end - size:
            raise storage_error(self._path, "view", "does not lie in the environment's map")
        position = address - self._start
        aligned = position & ~_PAGE_MASK
        lead = position - aligned
        try:
            # Populated in one go: a fault for every 16 pages costs more than the mapping itself.
            region = mmap.mmap(
                self._fd, lead + size, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ, offset=aligned
            )
        except (OSError, ValueError) as error:
            raise storage_error(self._path, f"cannot map {size} bytes at {position}", error) from error
        return memoryview(region)[lead:]

    def close(self) -> None:
        os.close(self._fd)
