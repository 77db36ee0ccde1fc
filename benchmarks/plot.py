"""The picture of a session: one panel per question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.backend import Durability
from benchmarks.session import CaseResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {Durability.NONE: "#9aa0a6", Durability.CRASH: "#4c78a8", Durability.POWER: "#e4572e"}
SURVIVES = {
    Durability.NONE: "nothing",
    Durability.CRASH: "a killed process",
    Durability.POWER: "loss of power",
}


def draw(path: Path, results: Sequence[CaseResult]) -> None:
    """Write a PNG. Groups that were not measured leave their panel empty."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import patches, pyplot

    figure, panels = pyplot.subplots(2, 3, figsize=(19, 10), layout="constrained")
    _bars(panels[0][0], _group(results, "throughput/100B"), "records_per_s", "100 B records: records/s")
    _bars(panels[0][1], _group(results, "throughput/1KiB"), "records_per_s", "1 KiB records: records/s")
    _bars(panels[0][2], _group(results, "latency"), "p50_us", "one record at a low rate: p50, us")
    _bars(panels[1][0], _group(results, "4-to-4"), "records_per_s", "4 producers, 4 consumers: records/s")
    lines = {
        "without keys": _group(results, "partitions/unkeyed"),
        "with keys": _group(results, "partitions/keyed"),
    }
    _lines(panels[1][1], lines, "partitions")
    _lines(panels[1][2], {"32 partitions": _group(results, "clients")}, "producers, and as many consumers")
    handles = [patches.Patch(color=COLOURS[each]) for each in COLOURS]
    labels = [f"an acknowledged record survives {SURVIVES[each]}" for each in COLOURS]
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _group(results: Sequence[CaseResult], name: str) -> list[CaseResult]:
    return [result for result in results if result.case.group == name and result.samples]


def _bars(panel: Axes, results: Sequence[CaseResult], metric: str, title: str) -> None:
    """One bar per row on a logarithmic scale, with the spread as a thin line."""
    panel.set_title(title, loc="left")
    rows = [(result, summary) for result in results if (summary := result.summary(metric))]
    if not rows:
        panel.set_axis_off()
        return
    places = range(len(rows))
    medians = [summary.median for _, summary in rows]
    below = [summary.median - summary.low for _, summary in rows]
    above = [summary.high - summary.median for _, summary in rows]
    colours = [COLOURS[result.case.backend.durability] for result, _ in rows]
    panel.barh(places, medians, xerr=[below, above], color=colours, error_kw={"lw": 0.8})
    panel.set_yticks(places, [result.case.label for result, _ in rows])
    panel.invert_yaxis()
    panel.set_xscale("log")
    panel.set_xlim(10 ** math.floor(math.log10(min(medians))), max(medians) * 6)
    panel.xaxis.set_minor_formatter("")
    for place, (_, summary) in zip(places, rows, strict=True):
        panel.text(
            max(summary.high, summary.median) * 1.08, place, f"{summary.median:,.0f}", va="center", fontsize=8
        )
    panel.spines[["top", "right"]].set_visible(False)


def _lines(panel: Axes, lines: dict[str, list[CaseResult]], by: str) -> None:
    """Throughput over a number that grows, with the spread as a band."""
    panel.set_title(f"records/s by number of {by}", loc="left")
    ticks: set[int] = set()
    for label, results in lines.items():
        points = [
            (int(each.case.label), summary) for each in results if (summary := each.summary("records_per_s"))
        ]
        counts = [count for count, _ in points]
        panel.plot(counts, [summary.median for _, summary in points], marker="o", label=label)
        low, high = [summary.low for _, summary in points], [summary.high for _, summary in points]
        panel.fill_between(counts, low, high, alpha=0.15)
        ticks.update(counts)
    if not ticks:
        panel.clear()
        panel.set_axis_off()
        return
    panel.set_xscale("log", base=2)
    panel.set_xticks(sorted(ticks), [str(tick) for tick in sorted(ticks)])
    panel.set_ylim(bottom=0)
    panel.legend(frameon=False)
    panel.spines[["top", "right"]].set_visible(False)
