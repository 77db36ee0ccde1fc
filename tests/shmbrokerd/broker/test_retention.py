from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.protocol.messages import LogConfig
from shmbrokerd.broker.retention import UNKNOWN, Hold, Log, Plan, Segment, plan

NOW_MS = 1_000_000
MakeConfig = Callable[..., LogConfig]


def segments_of(*sizes: int, ages_ms: Sequence[int] = (), active_records: int = 10) -> list[Segment]:
    """Segments of ten records each, the last one active; each some ms old, 0 where ``ages_ms`` ends."""
    ages = [*ages_ms, *([0] * (len(sizes) - len(ages_ms)))]
    found = [
        Segment(10 * number, 10 * number + 10, size, NOW_MS - age)
        for number, (size, age) in enumerate(zip(sizes, ages, strict=True))
    ]
    active = found[-1]
    return [*found[:-1], active._replace(end_offset=active.base_offset + active_records, is_active=True)]


def log_of(
    segments: Sequence[Segment], log_start: int | None = None, high_watermark: int | None = None
) -> Log:
    start = segments[0].base_offset if log_start is None else log_start
    end = segments[-1].end_offset if high_watermark is None else high_watermark
    return Log(start, end, sum(segment.bytes for segment in segments))


def decide(
    segments: Sequence[Segment], config: LogConfig, hold: Hold | None = None, **figures: int | None
) -> Plan:
    return plan(log_of(segments, **figures), segments, config, hold, NOW_MS)


# --- Kafka's rules -----------------------------------------------------------------------------------------


def test_a_log_without_limits_is_kept(make_config: MakeConfig) -> None:
    segments = segments_of(100, 100, 100, ages_ms=[10**9, 10**9, 10**9])
    assert decide(segments, make_config()) == Plan(0, 0)


def test_segments_older_than_retention_ms_go(make_config: MakeConfig) -> None:
    segments = segments_of(100, 100, 100, 100, ages_ms=[5001, 5001, 5000])
    assert decide(segments, make_config(retention_ms=5000)) == Plan(20, 2)


def test_an_old_segment_behind_a_younger_one_waits(make_config: MakeConfig) -> None:
    segments = segments_of(100, 100, 100, ages_ms=[10, 9999])
    assert decide(segments, make_config(retention_ms=5000)) == Plan(0, 0)


def test_the_oldest_go_while_the_rest_has_retention_bytes_still(make_config: MakeConfig) -> None:
    segments = segments_of(100, 100, 100, 100)
    assert decide(segments, make_config(retention_bytes=200)) == Plan(20, 2)
    assert decide(segments, make_config(retention_bytes=201)) == Plan(10, 1)
    assert decide(segments, make_config(retention_bytes=400)) == Plan(0, 0)


def test_size_and_time_together_delete_what_either_does(make_config: MakeConfig) -> None:
    segments = segments_of(100, 100, 100, 100, ages_ms=[1, 1, 0, 0])
    assert decide(segments, make_config(retention_bytes=300, retention_ms=0)) == Plan(20, 2)


def test_when_the_active_segment_has_expired_too_the_log_is_rolled_first(make_config: MakeConfig) -> None:
    segments = segments_of(100, 100, ages_ms=[9999, 9999])
    assert decide(segments, make_config(retention_ms=5000)) == Plan(20, 2, takes_active=True)


def test_an_empty_active_segment_stays(make_config: MakeConfig) -> None:
    segments = segments_of(100, 100, ages_ms=[9999, 9999], active_records=0)
    assert decide(segments, make_config(retention_ms=5000)) == Plan(10, 1)
    assert decide(segments[1:], make_config(retention_ms=5000)) == Plan(10, 0)


def test_nothing_at_or_beyond_the_high_watermark_goes(make_config: MakeConfig) -> None:
    segments = segments_of(100, 100, 100, ages_ms=[9999, 9999, 9999])
    assert decide(segments, make_config(retention_ms=5000), high_watermark=19) == Plan(10, 1)


@pytest.mark.parametrize("policy", [("compact",), ()])
def test_without_the_policy_delete_only_what_was_deleted_by_hand_goes(
    make_config: MakeConfig, policy: tuple[str, ...]
) -> None:
    segments = segments_of(100, 100, 100, ages_ms=[9999, 9999, 9999])
    config = make_config(retention_ms=1, retention_bytes=1, cleanup_policy=policy)
    assert decide(segments, config) == Plan(0, 0)
    assert decide(segments, config, log_start=19) == Plan(10, 1)
    assert decide(segments, config, log_start=30) == Plan(20, 2)


def test_compact_and_delete_together_delete(make_config: MakeConfig) -> None:
    config = make_config(retention_ms=5000, cleanup_policy=("compact", "delete"))
    assert decide(segments_of(100, 100, ages_ms=[9999]), config) == Plan(10, 1)


def test_ages_of_segments_beyond_the_first_that_stays_are_not_asked_for(make_config: MakeConfig) -> None:
    segments = iter(segments_of(100, 100, 100, 100, ages_ms=[9999]))
    plan(Log(0, 40, 400), segments, make_config(retention_ms=5000), None, NOW_MS)
    assert next(segments).base_offset == 20


# --- groups ------------------------------------------------------------------------------------------------


def test_what_a_group_has_not_read_is_held(make_config: MakeConfig) -> None:
    segments = segments_of(100, 100, 100, 100, ages_ms=[9999, 9999, 9999, 9999])
    config = make_config(retention_ms=0, retention_groups=("g",))
    assert decide(segments, config, Hold(19, "g")) == Plan(10, 1, is_held=True)
    assert decide(segments, config, Hold(20, "g")) == Plan(20, 2, is_held=True)
    assert decide(segments, config, Hold(40, "g")) == Plan(40, 4, takes_active=True)


def test_groups_that_have_read_all_do_not_make_anything_go_earlier(make_config: MakeConfig) -> None:
    config = make_config(retention_ms=5000, retention_groups=("g",))
    assert decide(segments_of(100, 100), config, Hold(20, "g")) == Plan(0, 0)


def test_above_the_size_cap_it_goes_nevertheless(make_config: MakeConfig) -> None:
    segments = segments_of(100, 100, 100, 100)
    config = make_config(retention_bytes=0, retention_groups=("g",), retention_groups_max_bytes=250)
    assert decide(segments, config, Hold(10, "g")) == Plan(20, 2, is_held=True, overrun=1)


def test_above_the_age_cap_it_goes_nevertheless(make_config: MakeConfig) -> None:
    segments = segments_of(100, 100, 100, 100, ages_ms=[9999, 7001, 7000])
    config = make_config(retention_ms=1, retention_groups=("g",), retention_groups_max_ms=7000)
    assert decide(segments, config, Hold(0, "g")) == Plan(20, 2, is_held=True, overrun=2)


def test_the_cap_deletes_nothing_that_retention_would_keep(make_config: MakeConfig) -> None:
    config = make_config(retention_groups=("g",), retention_groups_max_bytes=0, retention_groups_max_ms=0)
    assert decide(segments_of(100, 100, ages_ms=[9999]), config, Hold(0, "g")) == Plan(0, 0)


def test_nothing_goes_before_it_is_known_what_the_groups_need(make_config: MakeConfig) -> None:
    config = make_config(retention_ms=0, retention_groups=("g",), retention_groups_max_bytes=0)
    segments = segments_of(100, 100, ages_ms=[9999])
    assert decide(segments, config, UNKNOWN) == Plan(0, 0, is_held=True)


def test_what_was_deleted_by_hand_is_not_held(make_config: MakeConfig) -> None:
    config = make_config(retention_groups=("g",))
    segments = segments_of(100, 100, 100)
    assert decide(segments, config, Hold(0, "g"), log_start=25) == Plan(20, 2)


# --- properties --------------------------------------------------------------------------------------------


def kafka(log: Log, segments: Sequence[Segment], config: LogConfig) -> int:
    """Segments that ``UnifiedLog.deleteOldSegments`` deletes: three passes, one after the other."""

    def deletable(rest: Sequence[Segment], predicate: Callable[[Segment, Segment | None], bool]) -> int:
        count = 0
        for segment, following in itertools.zip_longest(rest, rest[1:]):
            is_last_and_empty = following is None and segment.base_offset == segment.end_offset
            upper_bound = segment.end_offset if following is None else following.base_offset
            if not predicate(segment, following) or is_last_and_empty or log.high_watermark < upper_bound:
                break
            count += 1
        return count

    gone = deletable(
        segments, lambda _, following: following is not None and following.base_offset <= log.log_start
    )
    if "delete" not in config.cleanup_policy:
        return gone
    excess = [sum(segment.bytes for segment in segments[gone:]) - config.retention_bytes]

    def too_large(segment: Segment, _: Segment | None) -> bool:
        if config.retention_bytes < 0 or excess[0] - segment.bytes < 0:
            return False
        excess[0] -= segment.bytes
        return True

    gone += deletable(segments[gone:], too_large)
    if config.retention_ms >= 0:
        gone += deletable(
            segments[gone:], lambda segment, _: NOW_MS - segment.largest_timestamp > config.retention_ms
        )
    return gone


LOGS = st.builds(
    lambda sizes, ages, active: segments_of(*sizes, ages_ms=ages[: len(sizes)], active_records=active),
    st.lists(st.integers(1, 50), min_size=1, max_size=6),
    st.lists(st.integers(0, 50), min_size=0, max_size=6),
    st.sampled_from([0, 10]),
)
LIMITS = st.integers(-1, 120)
POLICIES = st.sampled_from([("delete",), ("compact",), ("compact", "delete"), ()])


@given(LOGS, LIMITS, LIMITS, POLICIES, st.integers(0, 60), st.integers(0, 60))
def test_without_groups_it_is_what_kafka_does(
    make_config: MakeConfig,
    segments: list[Segment],
    retention_ms: int,
    retention_bytes: int,
    policy: tuple[str, ...],
    log_start: int,
    high_watermark: int,
) -> None:
    config = make_config(retention_ms=retention_ms, retention_bytes=retention_bytes, cleanup_policy=policy)
    end = segments[-1].end_offset
    log = log_of(segments, min(log_start, end), min(high_watermark, end))
    found = plan(log, segments, config, None, NOW_MS)
    count = kafka(log, segments, config)
    assert found.gone == count
    assert found.takes_active == (count == len(segments))
    assert found.new_start == (end if count == len(segments) else segments[count].base_offset)


@given(LOGS, LIMITS, LIMITS, LIMITS, LIMITS, st.integers(0, 60))
def test_groups_only_ever_make_retention_keep_more_and_lose_nothing_below_the_caps(
    make_config: MakeConfig,
    segments: list[Segment],
    retention_ms: int,
    retention_bytes: int,
    max_ms: int,
    max_bytes: int,
    offset: int,
) -> None:
    config = make_config(
        retention_ms=retention_ms,
        retention_bytes=retention_bytes,
        retention_groups_max_bytes=max_bytes,
        retention_groups_max_ms=max_ms,
    )
    found = decide(segments, config, Hold(offset, "g"))
    without = decide(segments, config)
    assert found.gone <= without.gone
    assert found.is_held == (found.gone < without.gone)
    needed = [segment for segment in segments[: found.gone] if segment.end_offset > offset]
    assert found.overrun == len(needed)
    for number, segment in enumerate(segments[: found.gone]):
        remaining = sum(each.bytes for each in segments[number:])
        is_too_old = 0 <= max_ms < NOW_MS - segment.largest_timestamp
        assert segment.end_offset <= offset or 0 <= max_bytes < remaining or is_too_old


# --- simulation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_a_log_under_load_stays_within_its_limits_and_loses_nothing_that_is_needed(
    make_config: MakeConfig, seed: int
) -> None:
    rng = random.Random(seed)
    config = make_config(
        retention_ms=rng.choice([-1, 50, 500]),
        retention_bytes=rng.choice([-1, 0, 500, 2000]),
        retention_groups_max_bytes=rng.choice([-1, 3000]),
    )
    segments = [Segment(0, 0, 10, 0, is_active=True)]
    committed = now_ms = log_start = 0
    for _ in range(2000):
        now_ms += rng.randrange(5)
        active = segments.pop()
        end = active.end_offset + rng.randrange(1, 4)
        active = active._replace(end_offset=end, bytes=active.bytes + 40, largest_timestamp=now_ms)
        segments.append(active)
        if active.bytes > 200:
            segments[-1] = active._replace(is_active=False)
            segments.append(Segment(end, end, 10, 0, is_active=True))
        if rng.random() < 0.2:
            committed = rng.randrange(committed, end + 1)
        if rng.random() > 0.1:
            continue
        size = sum(segment.bytes for segment in segments)
        log = Log(log_start, end, size)
        found = plan(log, segments, config, Hold(committed, "g"), now_ms)
        gone, segments = segments[: found.gone], segments[found.gone :]
        if found.takes_active:
            assert not segments
            segments = [Segment(end, end, 10, 0, is_active=True)]
        assert found.new_start >= log_start
        log_start = found.new_start
        assert segments[0].base_offset == log_start
        for segment in gone:
            over_cap = 0 <= config.retention_groups_max_bytes < size
            assert segment.end_offset <= committed or over_cap
            size -= segment.bytes
        again = plan(Log(log_start, end, size), segments, config, Hold(committed, "g"), now_ms)
        assert (again.gone, again.overrun) == (0, 0), "one look finds all there is"
        if config.retention_bytes >= 0 and not found.is_held:
            assert size < config.retention_bytes + segments[0].bytes or segments[0].is_active
