from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.backends import all_backends
from benchmarks.plan import FULL, all_cases
from benchmarks.targets import Lookup, Target, judge, load

MEASURED = {
    ("ours", "rate"): 60.0,
    ("theirs", "rate"): 5.0,
    ("rest", "rss_mb"): 79.0,
    ("broken", "rate"): 0.0,
}


def lookup(key: str, metric: str) -> float | None:
    return MEASURED.get((key, metric))


def test_a_ratio_reaches_its_target_at_the_limit() -> None:
    verdict = judge(Target("", "rate", "ours", against="theirs", at_least=12), lookup)
    assert verdict.measured == 12
    assert verdict.reached is True


def test_a_ratio_just_below_its_limit_is_missed() -> None:
    assert judge(Target("", "rate", "ours", against="theirs", at_least=12.01), lookup).reached is False


def test_an_upper_limit_holds_for_the_number_itself_without_a_counterpart() -> None:
    assert judge(Target("", "rss_mb", "rest", at_most=79), lookup).reached is True
    assert judge(Target("", "rss_mb", "rest", at_most=78.9), lookup).reached is False


@pytest.mark.parametrize(("of", "against"), [("nobody", None), ("ours", "nobody"), ("ours", "broken")])
def test_what_was_not_measured_is_neither_reached_nor_missed(of: str, against: str | None) -> None:
    verdict = judge(Target("", "rate", of, against, at_least=1), lookup)
    assert verdict.measured is None
    assert verdict.reached is None


@pytest.mark.parametrize("limits", [{}, {"at_least": 1.0, "at_most": 2.0}])
def test_a_target_has_exactly_one_limit(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs either"):
        Target("both or none", "rate", "ours", **limits)


def test_a_misspelt_entry_in_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "targets.toml"
    path.write_text('[[target]]\ntitle = "x"\nmetric = "rate"\nof = "ours"\nat_lest = 1\n')
    with pytest.raises(TypeError, match="at_lest"):
        load(path)


def test_every_target_names_cases_that_are_in_the_plan() -> None:
    keys = {case.key for case in all_cases(all_backends(), FULL)}
    named = {key for target in load() for key in (target.of, target.against) if key is not None}
    assert named <= keys


def test_every_target_can_be_judged_from_its_medians() -> None:
    constant: Lookup = lambda key, metric: 1.0  # noqa: E731
    assert all(judge(target, constant).reached is not None for target in load())
