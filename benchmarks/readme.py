"""The table of the README, from a result file: `python -m benchmarks.readme FILE.json`.

It replaces what stands between the two marks in README.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from benchmarks.backend import Durability

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
COLUMNS = {
    "100 B, records/s": ("throughput/100B", "records_per_s"),
    "1 KiB, records/s": ("throughput/1KiB", "records_per_s"),
    "one record, p50": ("latency", "p50_us"),
}
REDIS = {Durability.CRASH: "redis-everysec", Durability.POWER: "redis-always"}
"""What a row is compared with: the Redis that survives the same."""


def table(document: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Markdown: a row for each backend in `titles` (name to title), with the ratio to Redis of the same durability."""
    cases = document["cases"]
    lines = ["| | survives | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---:|" * len(COLUMNS)]
    for name, title in titles.items():
        found = [cases.get(f"{group}/{name}") for group, _ in COLUMNS.values()]
        if any(found):
            durability = next(case["durability"] for case in found if case)
            cells = [_cell(cases, group, name, metric) for group, metric in COLUMNS.values()]
            lines.append(f"| {title} | {durability} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(cases: Mapping[str, Any], group: str, name: str, metric: str) -> str:
    figure = _median(cases, f"{group}/{name}", metric)
    if figure is None:
        return ""
    text = f"{figure:,.0f} us" if metric.endswith("_us") else f"{_rounded(figure):,}"
    rival = REDIS.get(cases[f"{group}/{name}"]["durability"])
    against = _median(cases, f"{group}/{rival}", metric) if rival and rival != name else None
    return text if against is None else f"{text} ({_times(figure / against)})"


def _median(cases: Mapping[str, Any], key: str, metric: str) -> float | None:
    summary = cases.get(key, {}).get("summary", {}).get(metric)
    return None if summary is None else float(summary["median"])


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def _rounded(figure: float) -> int:
    """Three digits: more would promise what no second run keeps."""
    return int(float(f"{figure:.3g}"))


def main(path: Path) -> None:
    from benchmarks.backends import all_backends

    document = orjson.loads(path.read_bytes())
    titles = {backend.name: backend.title for backend in all_backends()}
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    README.write_text(f"{before}{BEGIN}\n{table(document, titles)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
