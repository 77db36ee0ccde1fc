"""What ``--fix`` does to files, and that it does nothing beside a daemon."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest

from shmclient.cli.doctor.finding import Action, Verb
from shmclient.cli.doctor.repairs import repair
from shmclient.cli.exit_codes import CliError


def test_files_are_removed_and_those_that_are_gone_are_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    repair(Action(Verb.REMOVE, (str(tmp_path / "gone"), str(path))))
    assert not path.exists()


def test_folders_are_removed_with_all_that_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    repair(Action(Verb.REMOVE_FOLDERS, (str(tmp_path / "a"),)))
    assert list(tmp_path.iterdir()) == []


def test_only_the_right_of_others_to_write_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    path.chmod(0o667)
    repair(Action(Verb.DENY_OTHERS, (str(path),)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o665


def test_files_are_given_to_their_owner(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    owner = (os.geteuid(), os.getegid()) if os.geteuid() else (1234, 1234)
    repair(Action(Verb.CHANGE_OWNER, (str(path),), owner=owner))
    assert (path.stat().st_uid, path.stat().st_gid) == owner


def test_nothing_is_done_while_somebody_holds_the_lock(tmp_path: Path) -> None:
    path, lock = tmp_path / "a", tmp_path / ".lock"
    path.touch()
    lock.touch()
    action = Action(Verb.REMOVE, (str(path),), guard=str(lock))
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(CliError, match="holds"):
            repair(action)
        assert path.exists()
    repair(action)
    assert not path.exists()
