from __future__ import annotations

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.segment import storage_error
from shmbrokerd.cleaner.setbacks import (
    MAX_PAUSE_S,
    NO_ROOM_PAUSE_S,
    NoRoomError,
    Setback,
    Setbacks,
    setback_of,
)


def gone() -> BrokerError:
    try:
        raise storage_error("0.mdb", "cannot open segment", "gone") from FileNotFoundError("0.mdb")
    except BrokerError as error:
        return error


def test_a_segment_that_is_gone_and_a_refused_swap_mean_that_the_log_changed() -> None:
    assert setback_of(gone()) is Setback.CHANGED
    assert setback_of(BrokerError(ErrorCode.INVALID_REQUEST, "other segments")) is Setback.CHANGED


def test_too_little_room_is_told_from_damage() -> None:
    assert setback_of(NoRoomError(ErrorCode.KAFKA_STORAGE_ERROR, "full")) is Setback.NO_ROOM
    assert setback_of(storage_error("0.mdb", "batch", "bad CRC")) is Setback.FAILED


def test_damage_is_told_each_time_and_pauses_double_up_to_an_hour() -> None:
    setbacks, now_s, pauses = Setbacks(), 5.0, []
    for _ in range(15):
        assert setbacks.note(b"log", Setback.FAILED, "why", now_s)
        began_s = now_s
        while setbacks.is_paused(b"log", now_s):
            now_s += 0.5
        pauses.append(now_s - began_s)
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == MAX_PAUSE_S


def test_a_log_that_changes_under_each_pass_is_looked_at_every_second_and_nobody_hears_of_it() -> None:
    setbacks = Setbacks()
    for now_s in range(100):
        assert not setbacks.is_paused(b"log", now_s)
        assert not setbacks.note(b"log", Setback.CHANGED, "why", now_s)
        assert setbacks.is_paused(b"log", now_s + 0.9)


def test_a_disk_without_room_is_told_once_and_looked_at_soon() -> None:
    setbacks = Setbacks()
    assert setbacks.note(b"log", Setback.NO_ROOM, "why", 0.0)
    for number in range(1, 50):
        now_s = number * NO_ROOM_PAUSE_S
        assert not setbacks.is_paused(b"log", now_s)
        assert not setbacks.note(b"log", Setback.NO_ROOM, "why", now_s)


def test_what_works_again_or_is_gone_is_forgotten() -> None:
    setbacks = Setbacks()
    for key in (b"a", b"b"):
        setbacks.note(key, Setback.FAILED, "damage", 0.0)
    assert setbacks.problem(b"a") == "damage"
    setbacks.forget(b"a")
    assert (setbacks.problem(b"a"), setbacks.problem(b"b")) == ("", "damage")
    setbacks.forget(b"never failed")
    assert (setbacks.is_paused(b"a", 0.5), setbacks.is_paused(b"b", 0.5)) == (False, True)
    setbacks.forget_others({b"a"})
    assert (setbacks.is_paused(b"b", 0.5), setbacks.problem(b"b")) == (False, "")


def test_that_a_log_changed_is_no_problem() -> None:
    setbacks = Setbacks()
    setbacks.note(b"a", Setback.NO_ROOM, "full", 0.0)
    setbacks.note(b"a", Setback.CHANGED, "a segment is gone", 10.0)
    assert setbacks.problem(b"a") == ""
