"""The page about lag names every path, metric, status and key that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.protocol.messages import LagStatus
from shmbroker.shm.counters import SystemCounter
from shmbrokerd.monitor.app import Api
from shmbrokerd.monitor.metrics import GAUGES, counter_name
from shmbrokerd.monitor.notifiers import notice_document
from shmbrokerd.monitor_settings import MonitorSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "lag.md").read_text()


def settings() -> MonitorSettings:
    config = {name: key.default for name, key in BROKER_KEYS.items() if name.startswith(("lag.", "http."))}
    return MonitorSettings("", "", "", "info", -1, "", False, config)


def test_every_path_is_on_the_page() -> None:
    nobody: Any = None
    served = {
        (method, re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), route.path))
        for route in Api(settings(), nobody, nobody).routes()
        for method in (route.methods or ())
        if method != "HEAD"
    }
    named = set(re.findall(r"^\| `(GET|POST|DELETE) (\S+)` \|", PAGE, re.MULTILINE))
    assert named == served


def test_every_metric_is_on_the_page_with_its_labels() -> None:
    rows = re.findall(r"^\| `((?:burrow|shmbroker)_\w+)` \| ([\w, ]*) ?\|", PAGE, re.MULTILINE)
    named = {name: [label for label in labels.strip().split(", ") if label] for name, labels in rows}
    expected = {name: labels for name, (_, labels) in GAUGES.items()}
    expected |= {f"{counter_name(counter)}_total": [] for counter in SystemCounter}
    assert named == expected


def test_every_status_is_on_the_page() -> None:
    for status in LagStatus:
        assert re.search(rf"\b{status.name}\b", PAGE), status.name


def test_every_key_that_is_named_exists() -> None:
    named = set(re.findall(r"`\"?((?:lag|http)\.[a-z.]+)\"?`", PAGE)) | set(
        re.findall(r"^\"((?:lag|http)\.[a-z.]+)\"", PAGE, re.MULTILINE)
    )
    assert len(named) > 10
    assert named <= BROKER_KEYS.keys()


def test_the_notice_on_the_page_has_the_fields_that_are_sent() -> None:
    import json

    from shmbroker.errors import ErrorCode
    from shmbrokerd.lag.evaluation import unknown_group
    from shmbrokerd.monitor.incidents import Notice

    (block,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    lag = unknown_group("g", ErrorCode.NO_ERROR, "")
    sent = notice_document("local", Notice("g", "id", 0, False), LagStatus.ERR, lag)
    assert json.loads(block).keys() == sent.keys()
