from __future__ import annotations

import subprocess
import sys

import crc32c as package

from shmbroker.records.checksum import crc32c


def test_it_is_the_checksum_of_the_package() -> None:
    data = bytes(range(256)) * 5
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720
    for given in (b"", b"x", data, memoryview(data)[3:], bytearray(data)):
        assert crc32c(given) == package.crc32c(given)


def test_a_checksum_goes_on_from_another() -> None:
    assert crc32c(b"6789", crc32c(b"12345")) == crc32c(b"123456789")


def test_what_the_package_imports_is_not_imported() -> None:
    program = "import sys, shmbroker.records.checksum; print('importlib.metadata' in sys.modules, 'crc32c' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
