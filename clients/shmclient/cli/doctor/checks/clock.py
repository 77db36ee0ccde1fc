"""The clock against the data: retention by time goes by both."""

from __future__ import annotations

from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Finding, ok, problem, warning

SLACK_MS = 60_000
"""Clocks are corrected now and then, by seconds."""
FAR_MS = 3_600_000
"""The default of message.timestamp.after.max.ms, in Kafka and here."""


def check(facts: Facts) -> Finding:
    data = facts.data
    behind_ms = data.newest_change_ms - facts.now_ms
    if behind_ms > SLACK_MS:
        return problem(
            f"the clock is {_span(behind_ms)} behind the newest file of {data.path}",
            "set the clock (timedatectl): until then retention keeps records for longer, and members time out late",
        )
    ahead_ms = data.newest_record_ms - facts.now_ms
    if ahead_ms > FAR_MS:
        return warning(
            f"{data.newest_record_in} has a record from {_span(ahead_ms)} in the future: retention by time keeps"
            " its segment until then",
            "find the producer that stamps so; message.timestamp.after.max.ms or message.timestamp.type=LogAppendTime of the"
            " topic keeps it from coming again",
        )
    return ok("nothing in the data is from the future")


def _span(span_ms: int) -> str:
    seconds = span_ms // 1000
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"
