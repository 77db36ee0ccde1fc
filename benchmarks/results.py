"""The JSON file of a session: every sample, so that other questions can be asked later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from benchmarks.session import CaseResult
from benchmarks.targets import Lookup, Verdict

FORMAT_VERSION = 1


def write(
    path: Path,
    machine: dict[str, object],
    results: Sequence[CaseResult],
    verdicts: Sequence[Verdict],
    left_out: dict[str, str],
) -> None:
    """`left_out` maps the backends that could not run to the reason."""
    document = {
        "format_version": FORMAT_VERSION,
        "machine": machine,
        "left_out": left_out,
        "cases": {result.case.key: _case(result) for result in results},
        "targets": [
            asdict(verdict.target) | {"measured": verdict.measured, "reached": verdict.reached}
            for verdict in verdicts
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def lookup_in(results: Sequence[CaseResult]) -> Lookup:
    """Medians by case key and metric, as the targets ask for them."""
    by_key = {result.case.key: result for result in results}

    def lookup(key: str, metric: str) -> float | None:
        result = by_key.get(key)
        summary = result.summary(metric) if result else None
        return summary.median if summary else None

    return lookup


def _case(result: CaseResult) -> dict[str, object]:
    case = result.case
    metrics = dict.fromkeys(name for sample in result.samples for name in sample.metrics)
    summaries = {name: result.summary(name) for name in metrics}
    return {
        "backend": case.backend.name,
        "durability": case.backend.durability,
        "kind": case.kind,
        "work": asdict(case.work),
        "failure": result.failure,
        "summary": {name: asdict(summary) for name, summary in summaries.items() if summary},
        "samples": [asdict(sample) for sample in result.samples],
    }
