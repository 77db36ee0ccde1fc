"""Does what a finding offers, and nothing while a daemon could be in the way."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from shmclient.cli.doctor.finding import Action, Verb
from shmclient.cli.exit_codes import CliError


def repair(action: Action) -> None:
    """
    Raises:
        CliError: a daemon has started meanwhile.
        OSError: it may not, or could not, be done; what was done by then stays done.
    """
    with _guarded(action.guard):
        for path in action.paths:
            with contextlib.suppress(FileNotFoundError):
                _DO[action.verb](path, action)


def _remove(path: str, _: Action) -> None:
    Path(path).unlink()


def _remove_folder(path: str, _: Action) -> None:
    shutil.rmtree(path)


def _deny_others(path: str, _: Action) -> None:
    Path(path).chmod(stat.S_IMODE(Path(path).stat().st_mode) & ~stat.S_IWOTH)


def _change_owner(path: str, action: Action) -> None:
    os.chown(path, *action.owner, follow_symlinks=False)


_DO: Final[dict[Verb, Callable[[str, Action], None]]] = {
    Verb.REMOVE: _remove,
    Verb.REMOVE_FOLDERS: _remove_folder,
    Verb.DENY_OTHERS: _deny_others,
    Verb.CHANGE_OWNER: _change_owner,
}


@contextlib.contextmanager
def _guarded(path: str) -> Iterator[None]:
    """Hold the lock that a daemon would take first."""
    if not path:
        yield
        return
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CliError(
                f"a daemon holds {path} now; nothing was changed", hint="run the doctor once more"
            ) from None
        yield
    finally:
        os.close(fd)
