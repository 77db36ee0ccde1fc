"""What ``groups describe`` shows: from what is known of a group to rows. Nothing is asked here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shmclient.cli.group_model import Committed, Description, Member
from shmclient.cli.reset_scenarios import Place

Row = dict[str, Any]
"""Column -> cell; None is shown as a dash."""


def places_of(description: Description, committed: Mapping[Place, Committed]) -> list[Place]:
    """What the group has committed, and what its members have."""
    return sorted({*committed, *_owners(description.members)})


def offset_rows(
    description: Description,
    committed: Mapping[Place, Committed],
    log_ends: Mapping[Place, int],
    *,
    is_verbose: bool,
) -> list[Row]:
    """One for each of :func:`places_of`. ``log_ends`` lacks those of partitions that are gone or cannot be asked."""
    owners = _owners(description.members)
    rows = []
    for place in places_of(description, committed):
        found, log_end, owner = committed.get(place), log_ends.get(place), owners.get(place)
        row: Row = {"group": description.group, "topic": place.topic, "partition": place.partition}
        if is_verbose:
            row["leader epoch"] = None if found is None else found.leader_epoch
        row |= {
            "committed": None if found is None else found.offset,
            "log end": log_end,
            "lag": None if found is None or log_end is None else max(0, log_end - found.offset),
        }
        if is_verbose:
            row["metadata"] = None if found is None else found.metadata
        row |= {
            "consumer id": None if owner is None else owner.member_id,
            "host": None if owner is None else owner.host,
            "client id": None if owner is None else owner.client_id,
        }
        rows.append(row)
    return rows


def _owners(members: Iterable[Member]) -> dict[Place, Member]:
    return {place: member for member in members for place in member.assignment}


def member_rows(description: Description, *, is_verbose: bool) -> list[Row]:
    rows = []
    for member in sorted(description.members):
        row: Row = {
            "group": description.group,
            "consumer id": member.member_id,
            "instance id": member.instance_id,
            "host": member.host,
            "client id": member.client_id,
            "partitions": len(member.assignment),
        }
        if is_verbose:
            row |= {
                "epoch": member.epoch,
                "assignment": partitions_text(member.assignment),
                "target": None if member.target is None else partitions_text(member.target),
            }
        rows.append(row)
    return rows


def state_row(description: Description, *, is_verbose: bool) -> Row:
    row: Row = {
        "group": description.group,
        "coordinator": description.coordinator or None,
        "assignor": description.assignor or None,
        "state": description.state,
        "type": description.type,
    }
    if is_verbose:
        row |= {
            "group epoch": description.group_epoch,
            "assignment epoch": description.assignment_epoch,
        }
    return row | {"members": len(description.members)}


def partitions_text(places: Sequence[Place]) -> str:
    """``a:0,1;b:4``, as Kafka's tool has it."""
    by_topic: dict[str, list[str]] = {}
    for place in sorted(places):
        by_topic.setdefault(place.topic, []).append(str(place.partition))
    return ";".join(f"{topic}:{','.join(numbers)}" for topic, numbers in by_topic.items())


def remark(description: Description) -> str:
    """What the person who asked should know; empty when there is nothing."""
    if description.state == "Empty":
        return f"note: group '{description.group}' has no members at present"
    if description.state not in ("Stable", "Dead", "Unknown"):
        return f"note: group '{description.group}' is rebalancing ({description.state})"
    return ""
