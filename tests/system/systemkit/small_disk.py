"""A file system of a few megabytes, in a mount namespace of its own where that is needed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class SmallDisk:
    """A tmpfs of ``size_bytes`` at ``path``. Needs the right to mount; :meth:`missing` says why not."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        path.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "shmbroker-test", str(path)], check=True
        )
        self._filler = path / "filler"

    @staticmethod
    def missing() -> str:
        """Why there can be none; empty when there can."""
        if os.geteuid() != 0:
            return "mounting a small file system needs root"
        probe = subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"],
            capture_output=True,
            text=True,
        )
        return f"this machine lets nobody mount: {probe.stderr.strip()}" if probe.returncode else ""

    def fill(self) -> None:
        """Leave no room at all."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def free_bytes(self) -> int:
        figures = os.statvfs(self.path)
        return figures.f_bavail * figures.f_frsize

    def free(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)
