"""The command against a real daemon; its tables without one."""

import json
import select
import signal

import pytest
from msgspec import structs

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import GroupLag, LagStatus
from shmclient import Consumer
from shmclient.cli.lag import PARTITION_COLUMNS, tables
from shmclient.cli.lag_report import report_of


@pytest.fixture
def group(cli, topic):
    """Named as its topic: five records in partition 0, two of them read."""
    lines = "".join(f'{{"value": "{n}"}}\n' for n in range(5))
    cli("produce", topic, "-p", 0, "--json", stdin=lines).ok()
    cli("consume", topic, "--group", topic, "-n", 2).ok()
    return topic


def test_lag_as_json(cli, group):
    (report,) = cli("lag", group, "--json").json()
    assert (report["group"], report["lag"]) == (group, 3)
    assert report["lag_ms"] > 0
    assert [(each["topic"], each["lag"]) for each in report["topics"]] == [(group, 3)]
    first, second = report["partitions"]
    assert (first["committed"], first["log_end"], first["lag"]) == (2, 5, 3)
    assert first["status"] in ("STALL", "STOP")  # one commit, and then no more
    assert (second["committed"], second["lag"], second["lag_ms"]) == (None, None, None)
    assert (first["consumer_id"], first["client_id"], first["host"]) == (None, None, None)


def test_lag_as_tables(cli, group):
    header, row = (line.split() for line in cli("lag", group).ok().splitlines())
    assert header == ["GROUP", "STATUS", "LAG", "SECONDS", "HISTORY"]
    assert (row[0], row[2]) == (group, "3")
    lines = cli("lag", group, "--topics", "--partitions").ok().splitlines()
    assert [line.split()[0] for line in lines] == ["GROUP", group, "GROUP", group, "GROUP", group, group]
    assert lines[5].split()[:6] == [group, group, "0", "2", "5", "3"]
    assert lines[6].split()[:6] == [group, group, "1", "-", "0", "-"]


def test_all_groups_are_shown_without_a_name(cli, group):
    assert group in [report["group"] for report in cli("lag", "--json").json()]


def test_an_unknown_group_is_not_found(cli, new_name):
    result = cli("lag", new_name)
    assert result.exit_code == 4
    assert new_name in result.stderr


def test_a_group_that_committed_nothing_has_no_lag_and_is_told_apart_from_none(
    cli, group, new_name, shmbroker_session
):
    config = {"bootstrap.servers": shmbroker_session.bootstrap_servers, "enable.auto.commit": False}
    with Consumer({**config, "group.id": new_name, "auto.offset.reset": "earliest"}) as consumer:
        consumer.subscribe([group])
        assert consumer.poll(30) is not None
        result = cli("lag", new_name, "--topics", "--partitions")
        (report,) = cli("lag", new_name, "--json").json()
    assert result.exit_code == 0
    assert [line.split()[:4] for line in result.stdout.splitlines()] == [
        ["GROUP", "STATUS", "LAG", "SECONDS"],
        [new_name, "-", "-", "-"],
        ["GROUP", "TOPIC", "LAG", "SECONDS"],
        [new_name, group, "-", "-"],
        ["GROUP", "TOPIC", "PARTITION", "COMMITTED"],
        [new_name, group, "0", "-"],
        [new_name, group, "1", "-"],
    ]
    assert f"group '{new_name}' is there, but has committed no offset" in result.stderr
    assert (report["status"], report["lag"], report["lag_ms"]) == (None, None, None)
    assert report["remark"] in result.stderr


def test_watching_goes_on_until_it_is_interrupted(spawn, group):
    process = spawn("lag", group, "--watch", "--interval", 0.05, "--json")
    for _ in range(3):
        assert select.select([process.stdout], [], [], 30)[0]
        (report,) = json.loads(process.stdout.readline())
        assert report["lag"] == 3
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


def test_a_group_that_is_not_watched_has_exact_lag_and_says_why_it_has_no_status():
    lag = GroupLag(
        "g", ErrorCode.NO_ERROR, "", LagStatus.NOTFOUND, 0.0, 7, 1500, 1, [], [], committed_count=1
    )
    report = report_of(lag)
    assert (report["status"], report["lag"], report["lag_ms"]) == (None, 7, 1500)
    assert "lag.group.denylist" in report["remark"]
    assert report_of(structs.replace(lag, status=LagStatus.WARN))["remark"] == ""


def test_what_nobody_knows_is_left_open():
    partition = dict.fromkeys(
        ("topic", "partition", "committed", "log_end", "lag", "lag_ms", "status", "consumer_id", "client_id")
    )
    report = {
        "group": "g",
        "status": None,
        "lag": 0,
        "lag_ms": None,
        "topics": [],
        "history": [0, 5],
        "partitions": [partition | {"host": None}],
    }
    groups, partitions = tables([report], by_topic=False, by_partition=True)
    assert groups[1] == [["g", None, 0, None, "▁█"]]
    assert partitions == (PARTITION_COLUMNS, [["g", *[None] * 10]])
