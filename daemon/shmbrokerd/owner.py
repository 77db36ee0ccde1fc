"""A daemon that belongs to another process: that of a test, or of ``shmbroker run``.

It stops when its owner ends, however that ends. A pidfd tells: neither threads nor forked children of the owner can hold
it open or close it by mistake, as they could with a pipe or PR_SET_PDEATHSIG.
"""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode


class Owner(NamedTuple):
    pidfd: int
    """Readable once the process has ended."""
    scratch_dir: Path | None
    """Holds what was made for the owner alone."""

    def has_ended(self) -> bool:
        return bool(select.select([self.pidfd], [], [], 0)[0])

    def close(self) -> None:
        """Remove the scratch folder if the owner has ended: one that lives does so itself."""
        if self.scratch_dir is not None and self.has_ended():
            import shutil  # late: only here, and it is slow to import

            shutil.rmtree(self.scratch_dir, ignore_errors=True)
        os.close(self.pidfd)


def watch_owner(pid: int, scratch_dir: Path | None) -> Owner:
    """
    Raises:
        BrokerError: no such process: it may have ended already.
    """
    try:
        return Owner(os.pidfd_open(pid), scratch_dir)
    except (OSError, ValueError, OverflowError) as error:
        raise BrokerError(
            ErrorCode.BROKER_NOT_AVAILABLE, f"cannot watch process {pid} (--exit-with-pid): {error}"
        ) from error
