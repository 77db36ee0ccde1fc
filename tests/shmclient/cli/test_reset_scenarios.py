from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.reset_scenarios import (
    Facts,
    FromPlan,
    Place,
    ShiftBy,
    ToCurrent,
    ToEarliest,
    ToLatest,
    ToOffset,
    ToTime,
    new_offset,
    parse_datetime_ms,
    parse_duration_ms,
    parse_scope,
)

PLACE = Place("orders", 3)
LOG = Facts(earliest=100, latest=200, committed=150, at_time=170)
UNCOMMITTED = LOG._replace(committed=None)


@pytest.mark.parametrize(
    ("scenario", "facts", "offset"),
    [
        (ToEarliest(), LOG, 100),
        (ToLatest(), LOG, 200),
        (ToCurrent(), LOG, 150),
        (ToOffset(120), LOG, 120),
        (ToOffset(100), LOG, 100),
        (ToOffset(200), LOG, 200),
        (ToTime(5), LOG, 170),
        (ShiftBy(10), LOG, 160),
        (ShiftBy(-10), LOG, 140),
        (ShiftBy(0), LOG, 150),
        (FromPlan({PLACE: 111}), LOG, 111),
        (ToEarliest(), UNCOMMITTED, 100),
        (ToLatest(), UNCOMMITTED, 200),
        (ToOffset(120), UNCOMMITTED, 120),
    ],
    ids=repr,
)
def test_each_scenario_has_its_offset(scenario, facts, offset):
    assert new_offset(scenario, PLACE, facts) == (offset, "")


@pytest.mark.parametrize(
    ("scenario", "facts", "offset", "note"),
    [
        (ToOffset(99), LOG, 100, "99 is before the earliest offset 100"),
        (ToOffset(201), LOG, 200, "201 is after the latest offset 200"),
        (FromPlan({PLACE: 0}), LOG, 100, "0 is before the earliest offset 100"),
        (ShiftBy(51), LOG, 200, "201 is after the latest offset 200"),
        (ShiftBy(-51), LOG, 100, "99 is before the earliest offset 100"),
        (ToCurrent(), UNCOMMITTED, 200, "has no committed offset"),
        (ToTime(5), LOG._replace(at_time=None), 200, "no record at or after that time"),
    ],
    ids=repr,
)
def test_what_the_log_does_not_have_becomes_the_nearest_and_is_told(scenario, facts, offset, note):
    found = new_offset(scenario, PLACE, facts)
    assert found.offset == offset
    assert found.note.startswith("orders [3]")
    assert note in found.note


def test_what_was_never_committed_cannot_be_shifted():
    with pytest.raises(CliError, match=r"cannot shift the offset of orders \[3\]"):
        new_offset(ShiftBy(1), PLACE, UNCOMMITTED)


def test_what_is_committed_beyond_the_log_stays_where_it_is():
    """As in Kafka's tool: to-current asks for nothing new."""
    assert new_offset(ToCurrent(), PLACE, LOG._replace(committed=999)) == (999, "")


@given(st.integers(), st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 3000))
def test_a_new_offset_is_always_one_that_the_log_has(number, earliest, size, committed):
    facts = Facts(earliest, earliest + size, committed)
    for scenario in (ToOffset(number), ShiftBy(number), FromPlan({PLACE: number}), ToEarliest(), ToLatest()):
        offset, note = new_offset(scenario, PLACE, facts)
        assert facts.earliest <= offset <= facts.latest
        if isinstance(scenario, ToOffset | FromPlan):
            assert (offset == number) == (not note)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("PT0S", 0),
        ("PT20.345S", 20_345),
        ("PT15M", 15 * 60_000),
        ("PT10H", 36_000_000),
        ("P2D", 172_800_000),
        ("P2DT3H4M", 2 * 86_400_000 + 3 * 3_600_000 + 4 * 60_000),
        ("PT-6H3M", -6 * 3_600_000 + 3 * 60_000),
        ("-PT6H3M", -6 * 3_600_000 - 3 * 60_000),
        ("-PT-6H+3M", 6 * 3_600_000 - 3 * 60_000),
        ("pt0,5s", 500),
    ],
)
def test_durations_are_those_of_java(text, ms):
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "1D", "15m", "P1Y", "P1M", "PT1.5M", "PT٣S", "P1D ", "P" + "9" * 30 + "D"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(CliError) as caught:
        parse_duration_ms(text)
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00.250", datetime(2026, 1, 31, 12, 0, 0, 250_000, UTC)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_utc(text, moment, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert parse_datetime_ms(text) == int(moment.timestamp() * 1000)


@pytest.mark.parametrize("text", ["", "now", "2026-02-31T00:00:00", "12:00", "1900-01-01T00:00:00"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(CliError) as caught:
        parse_datetime_ms(text)
    assert caught.value.code == ExitCode.USAGE


def test_a_scope_is_a_topic_with_or_without_partitions():
    assert parse_scope("orders") == ("orders", None)
    assert parse_scope("orders:0") == ("orders", [0])
    assert parse_scope("orders:2,0") == ("orders", [2, 0])


@pytest.mark.parametrize("text", ["", ":0", "orders:", "orders:a", "orders:0,", "orders:-1", "orders:0:1"])
def test_what_is_no_scope_is_refused(text):
    with pytest.raises(CliError) as caught:
        parse_scope(text)
    assert caught.value.code == ExitCode.USAGE
