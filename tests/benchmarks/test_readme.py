"""The README's table, from a result file."""

from __future__ import annotations

from benchmarks.readme import table

TITLES = {"ours": "this broker", "redis-everysec": "Redis", "pipe": "a pipe", "absent": "not measured"}


def case(durability: str, metric: str, median: float) -> dict[str, object]:
    return {"durability": durability, "summary": {metric: {"median": median}}}


DOCUMENT = {
    "cases": {
        "throughput/100B/ours": case("crash", "records_per_s", 1_234_567.0),
        "throughput/100B/redis-everysec": case("crash", "records_per_s", 100_000.0),
        "throughput/100B/pipe": case("none", "records_per_s", 54321.0),
        "latency/ours": case("crash", "p50_us", 300.4),
        "latency/redis-everysec": case("crash", "p50_us", 200.0),
    }
}


def test_figures_are_rounded_and_compared_with_redis_of_the_same_durability() -> None:
    lines = table(DOCUMENT, TITLES).splitlines()
    assert lines[2] == "| this broker | crash | 1,230,000 (12x) |  | 300 us (1.5x) |"
    assert lines[3] == "| Redis | crash | 100,000 |  | 200 us |"


def test_what_keeps_nothing_is_not_compared_and_what_was_not_measured_left_out() -> None:
    lines = table(DOCUMENT, TITLES).splitlines()
    assert lines[4] == "| a pipe | none | 54,300 |  |  |"
    assert len(lines) == 5
