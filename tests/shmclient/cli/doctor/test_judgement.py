"""All checks together, and each of them on what it is there for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shmclient.cli.doctor.facts import Facts, FileSystem
from shmclient.cli.doctor.finding import Level, Verb
from shmclient.cli.doctor.judgement import CHECKS, judge

OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM
MakeFacts = Callable[..., Facts]


def place(**changes: Any) -> FileSystem:
    return FileSystem("ext4", 50 << 30, 100 << 30, 1_000_000)._replace(**changes)


@pytest.mark.parametrize("daemon", [True, False])
def test_nothing_is_found_where_nothing_is_wrong(facts: MakeFacts, daemon: bool) -> None:
    for name, finding in judge(facts(daemon=daemon)).items():
        assert finding.level is OK, (name, finding)
        assert finding.text
        assert not finding.fix


def test_nothing_is_found_where_there_is_no_data_dir_yet(facts: MakeFacts) -> None:
    nothing = {"exists": False, "uid": -1, "gid": -1, "mode": 0, "format": "", "version": "", "partitions": 0}
    found = judge(facts(data=nothing, runtime={"exists": False, "uid": -1, "mode": 0}))
    assert {finding.level for finding in found.values()} == {OK}


CASES: list[tuple[str, dict[str, Any], Level, str]] = [
    ("daemon", {"daemon": {"alarms": ("the disk is slow",)}}, WARNING, "alarms"),
    ("daemon", {"daemon": {"data_dir": "/other"}}, WARNING, "uses /other, not /data"),
    ("daemon", {"runtime": {"is_held": True}}, PROBLEM, "does not answer"),
    ("daemon", {"data": {"holder_pid": 12}}, WARNING, "in use by pid 12"),
    ("daemon", {"data": {"holder_pid": -1}}, WARNING, "does not say which"),
    ("versions", {"data": {"format": "", "version": ""}}, PROBLEM, "no meta.properties"),
    ("versions", {"data": {"format": "kafka"}}, PROBLEM, "format=kafka"),
    ("versions", {"data": {"version": "2"}}, PROBLEM, "reads up to 1"),
    ("versions", {"data": {"version": "x"}}, PROBLEM, "version=x"),
    ("versions", {"daemon": {"version": "0.9"}}, WARNING, "the daemon is 0.9, this program is 1.0"),
    ("permissions", {"data": {"foreign": ("/data/a", "/data/b", "/c", "/d")}}, PROBLEM, "and 1 more"),
    ("permissions", {"data": {"writable_by_all": ("/data/a",)}}, PROBLEM, "everybody may write /data/a"),
    ("permissions", {"data": {"unreadable": ("/data/a",)}}, PROBLEM, "may not read /data/a"),
    ("permissions", {"runtime": {"uid": 4}}, PROBLEM, "belongs to uid 4"),
    ("permissions", {"runtime": {"mode": 0o40777}}, PROBLEM, "everybody may write /run/shmbroker"),
    ("permissions", {"runtime": {"mode": 0o41777}}, OK, "well"),
    ("permissions", {"runtime": {"is_socket_usable": False}}, PROBLEM, "may not connect"),
    ("space", {"data": {"file_system": place(kind="nfs4")}}, PROBLEM, "nfs4"),
    ("space", {"data": {"file_system": place(free_bytes=(64 << 20) - 1)}}, PROBLEM, "records are refused"),
    (
        "space",
        {"data": {"file_system": place(free_bytes=0)}, "min_free_bytes": 0},
        PROBLEM,
        "the disk is full",
    ),
    ("space", {"data": {"file_system": place(free_bytes=64 << 20)}}, WARNING, "64.0 MiB of 100.0 GiB"),
    ("space", {"data": {"file_system": place(free_files=3)}}, PROBLEM, "3 files"),
    ("space", {"data": {"file_system": place(free_files=-1)}}, OK, "50.0 GiB"),
    ("space", {"data": {"file_system": place(kind="tmpfs")}}, WARNING, "a reboot takes all"),
    (
        "shared-memory",
        {"runtime": {"file_system": place(free_bytes=1 << 20)}},
        PROBLEM,
        "a daemon needs 2.0 MiB",
    ),
    ("shared-memory", {"host": {"shm": None}}, OK, "there is no /dev/shm"),
    (
        "shared-memory",
        {"daemon": True, "runtime": {"file_system": place(free_bytes=1 << 20)}},
        OK,
        "1.0 MiB are free",
    ),
    ("leftovers", {"runtime": {"leftovers": ("/run/shmbroker/counters",)}}, WARNING, "counters"),
    ("leftovers", {"host": {"scratch": ("/tmp/shmbroker-x",)}}, WARNING, "/tmp/shmbroker-x"),
    ("leftovers", {"host": {"shm_names": ("/dev/shm/sem.shmbroker",)}}, WARNING, "no names in /dev/shm"),
    ("lock-files", {"data": {"dead_readers": ("/l",), "holder_pid": 7}}, WARNING, "dead"),
    ("lock-files", {"data": {"dead_readers": ("/l",)}}, OK, "the next start clears them"),
    ("lock-files", {"data": {"orphan_locks": ("/l",)}}, WARNING, "without a segment: /l"),
    ("lock-files", {"data": {"unlooked": 7}}, OK, "7 partitions were not looked at"),
    ("backups", {"data": {"backups": ("/x.mdb.damaged",), "backup_bytes": 2048}}, WARNING, "2.0 KiB"),
    (
        "strays",
        {"data": {"strays": ("/data/logs/a-0.x-stray",), "stray_bytes": 2048}},
        WARNING,
        "2.0 KiB: /data",
    ),
    ("descriptors", {"daemon": {"max_files": 291}}, PROBLEM, "10 partitions need 292"),
    ("descriptors", {"daemon": {"max_files": 15_615}}, WARNING, "not for the 15616"),
    ("descriptors", {"daemon": {"max_files": 15_616}}, OK, "15616"),
    ("descriptors", {"daemon": {"max_files": 20_000, "open_files": 19_000}}, PROBLEM, "19000 of 20000"),
    (
        "descriptors",
        {"daemon": {"max_files": -1}, "host": {"max_files": 100}},
        PROBLEM,
        "100 file descriptors",
    ),
    ("descriptors", {"host": {"max_files": 1024}}, WARNING, "1024"),
    ("maps", {"host": {"max_maps": 1043}}, PROBLEM, "needs 1044"),
    ("maps", {"host": {"max_maps": 9215}}, WARNING, "may need 9216"),
    ("maps", {"max_partitions": 65_536}, WARNING, "max.partitions=65536"),
    ("maps", {"host": {"max_maps": -1}}, OK, "not known"),
    ("remove-ipc", {"runtime": {"path": "/dev/shm/run"}}, PROBLEM, "/dev/shm/run when the user logs out"),
    ("remove-ipc", {"runtime": {"path": "/dev/shm/run"}, "host": {"removes_ipc": False}}, OK, "nothing away"),
    ("remove-ipc", {"runtime": {"path": "/dev/shm/run"}, "host": {"has_logind": False}}, OK, "no user's"),
    ("remove-ipc", {"data": {"path": "/dev/shm/data", "uid": 400}}, OK, "no user's"),
    ("remove-ipc", {"runtime": {"path": "/run/user/1000/shmbroker"}}, WARNING, "go when the user logs out"),
    ("remove-ipc", {"runtime": {"path": "/run/user/1000/s"}, "host": {"lingers": True}}, OK, "nothing away"),
    ("clock", {"now_ms": 1_000_000_000 - 7_200_000}, PROBLEM, "the clock is 2 hours behind"),
    ("clock", {"data": {"newest_change_ms": 1_000_060_000}}, OK, "nothing"),
    (
        "clock",
        {"data": {"newest_record_ms": 1_000_000_000 + 86_400_000 * 3}},
        WARNING,
        "t-0 has a record from 3 days",
    ),
    ("clock", {"data": {"newest_record_ms": 1_003_600_000}}, OK, "nothing"),
]


@pytest.mark.parametrize(("name", "spoilt", "level", "text"), CASES)
def test_each_check_names_what_is_wrong_and_what_to_do(
    facts: MakeFacts, name: str, spoilt: dict[str, Any], level: Level, text: str
) -> None:
    finding = CHECKS[name](facts(**spoilt))
    assert finding.level is level, finding
    assert text in finding.text
    assert bool(finding.fix) is (level is not OK)


def test_every_check_has_a_case_in_which_it_finds_something() -> None:
    assert {name for name, _, level, _ in CASES if level is not OK} | {"shared-memory"} == set(CHECKS)


def test_what_can_be_repaired_is_done_under_the_lock_that_a_daemon_takes(facts: MakeFacts) -> None:
    left = CHECKS["leftovers"](facts(runtime={"leftovers": ("/run/shmbroker/counters",)})).action
    assert left is not None
    assert (left.verb, left.guard) == (Verb.REMOVE, "/run/shmbroker")
    locks = CHECKS["lock-files"](facts(data={"orphan_locks": ("/l",)})).action
    assert locks is not None
    assert (locks.paths, locks.guard) == (("/l",), "/data/.lock")


def test_nothing_is_removed_from_a_data_dir_in_use(facts: MakeFacts) -> None:
    assert CHECKS["lock-files"](facts(data={"orphan_locks": ("/l",), "holder_pid": 7})).action is None


def test_owners_are_changed_by_root_only(facts: MakeFacts) -> None:
    foreign = {"foreign": ("/data/a",)}
    assert CHECKS["permissions"](facts(data=foreign)).action is None
    action = CHECKS["permissions"](facts(data=foreign, uid=0)).action
    assert action is not None
    assert action.owner == (1000, 1000)


def test_the_right_to_write_is_taken_away_by_who_may(facts: MakeFacts) -> None:
    writable = {"writable_by_all": ("/data/a",)}
    assert CHECKS["permissions"](facts(data=writable)).action is not None
    assert CHECKS["permissions"](facts(data=writable, uid=5)).action is None
