"""Shapes that a running daemon does not make at will; the others are in test_app."""

from __future__ import annotations

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages import GroupLag, LagStatus, PartitionLag, WindowCommit
from shmbrokerd.monitor import burrow
from shmbrokerd.monitor_settings import MonitorSettings


def partition(number: int, lag: int, status: LagStatus) -> PartitionLag:
    commit = WindowCommit(5, 1000, 2000, -1)
    return PartitionLag(
        "t", number, 5, 5 + lag, lag, -1, status, 0.5, "m-1", "app", "/4711", commit, commit, [commit]
    )


def group(*partitions: PartitionLag, status: LagStatus = LagStatus.ERR) -> GroupLag:
    lag = sum(max(0, each.lag) for each in partitions)
    return GroupLag("g", ErrorCode.NO_ERROR, "", status, 0.0, lag, -1, len(partitions), [], list(partitions))


def settings(**changes: str | int) -> MonitorSettings:
    config = {name: key.default for name, key in BROKER_KEYS.items() if name.startswith(("lag.", "http."))}
    named = {name.replace("_", "."): value for name, value in changes.items()}
    return MonitorSettings("/run/control.sock", "", "", "info", -1, "", False, config | named)


def test_a_lag_that_nobody_knew_is_null() -> None:
    assert burrow.offset(WindowCommit(5, 1000, 2000, -1)) == {
        "offset": 5,
        "timestamp": 1000,
        "observedAt": 2000,
        "lag": None,
    }


def test_the_owner_is_the_host_and_what_was_never_committed_is_no_lag() -> None:
    status = burrow.partition_status(partition(3, -1, LagStatus.OK))
    assert (status["owner"], status["client_id"], status["current_lag"]) == ("/4711", "app", 0)


def test_maxlag_is_the_first_of_the_largest() -> None:
    lag = group(*(partition(number, size, LagStatus.STALL) for number, size in enumerate((3, 9, 9, 1))))
    status = burrow.group_status("c", lag, show_all=False)
    assert status["maxlag"]["partition"] == 1
    assert [each["partition"] for each in status["partitions"]] == [0, 1, 2, 3]
    empty = burrow.group_status("c", group(status=LagStatus.OK), show_all=True)
    assert (empty["maxlag"], empty["partitions"]) == (None, [])


def test_windows_are_padded_to_their_size() -> None:
    (detail,) = burrow.group_detail(group(partition(0, 2, LagStatus.OK)), 3)["t"]
    assert detail["offsets"][:2] == [None, None]
    assert (detail["offsets"][2]["offset"], detail["current-lag"]) == (5, 2)


def test_notifiers_are_told_of_without_their_secrets() -> None:
    modules = burrow.modules(
        settings(lag_notify_webhook_url="https://hook/secret", lag_notify_command="tell --token secret")
    )
    assert modules["notifier"].keys() == {"webhook", "command"}
    assert "secret" not in str(modules)
    webhook = modules["notifier"]["webhook"]
    assert (webhook["class-name"], webhook["threshold"], webhook["interval"]) == ("http", 2, 60)
    assert burrow.modules(settings())["notifier"] == {}
