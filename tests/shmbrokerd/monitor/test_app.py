"""Burrow's HTTP API, asked by a real client: paths, status codes, names in the JSON."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from shmclient.testing import BrokerStartError, EmbeddedBroker

CLUSTER = "/v3/kafka/local"


@pytest.fixture
def group(monitored: EmbeddedBroker, topic: str, produce: Any, commit: Any) -> str:
    """Named as its topic: ten records, committed are 1, 2 and 4."""
    produce(monitored, topic, 10)
    commit(monitored, topic, topic, 1, 2, 4)
    return topic


def get(http: httpx.Client, path: str, code: int = 200) -> Any:
    response = http.get(path)
    assert (response.status_code, response.headers["content-type"]) == (code, "application/json")
    body = response.json()
    assert body["request"] == {"url": path, "host": socket.gethostname()}
    assert isinstance(body["message"], str)
    return body


def test_health(http: httpx.Client) -> None:
    assert (http.get("/burrow/admin").status_code, http.get("/burrow/admin").text) == (200, "GOOD")
    assert (http.get("/burrow/admin/ready").status_code, http.get("/burrow/admin/ready").text) == (
        200,
        "READY",
    )


def test_clusters(http: httpx.Client) -> None:
    assert get(http, "/v3/kafka")["clusters"] == ["local"]
    module = get(http, CLUSTER)["module"]
    assert module.keys() == {"class-name", "servers", "client-profile", "topic-refresh", "offset-refresh"}
    assert get(http, "/v3/kafka/nope", 404)["error"] is True


def test_topics(http: httpx.Client, group: str) -> None:
    assert group in get(http, f"{CLUSTER}/topic")["topics"]
    assert get(http, f"{CLUSTER}/topic/{group}")["offsets"] == [10, 0]
    assert get(http, f"{CLUSTER}/topic/{group}/consumers")["consumers"] == [group]
    assert get(http, f"{CLUSTER}/topic/nope/consumers")["consumers"] == []
    for path in ("/v3/kafka/nope/topic", f"{CLUSTER}/topic/nope", "/v3/kafka/nope/topic/x/consumers"):
        assert get(http, path, 404)["error"] is True


def test_asking_for_a_topic_does_not_make_it(http: httpx.Client, topic: str) -> None:
    get(http, f"{CLUSTER}/topic/{topic}", 404)
    assert topic not in get(http, f"{CLUSTER}/topic")["topics"]


def test_consumers_and_what_they_committed(http: httpx.Client, group: str) -> None:
    assert group in get(http, f"{CLUSTER}/consumer")["consumers"]
    first, second = get(http, f"{CLUSTER}/consumer/{group}")["topics"][group]
    assert (first["owner"], first["client_id"], first["current-lag"]) == ("", "", 6)
    assert [each["offset"] for each in first["offsets"]] == [1, 2, 4]
    assert [each["lag"] for each in first["offsets"]] == [9, 8, 6]
    assert first["offsets"][0].keys() == {"offset", "timestamp", "observedAt", "lag"}
    assert second == {"offsets": [], "owner": "", "client_id": "", "current-lag": 0}
    for path in (f"{CLUSTER}/consumer/nope", "/v3/kafka/nope/consumer", f"/v3/kafka/nope/consumer/{group}"):
        assert get(http, path, 404)["error"] is True


def test_a_window_that_is_not_full_begins_with_nulls(
    http: httpx.Client, monitored: EmbeddedBroker, topic: str, produce: Any, commit: Any
) -> None:
    produce(monitored, topic, 1)
    commit(monitored, topic, topic, 1)
    first, _ = get(http, f"{CLUSTER}/consumer/{topic}")["topics"][topic]
    assert first["offsets"][:2] == [None, None]
    assert first["offsets"][2]["offset"] == 1


def test_the_status_of_a_group_in_trouble(http: httpx.Client, group: str, wait_for: Any) -> None:
    wait_for(lambda: get(http, f"{CLUSTER}/consumer/{group}/status")["status"]["status"] == "ERR")
    body = get(http, f"{CLUSTER}/consumer/{group}/status")
    status = body["status"]
    assert body["message"] == "consumer status returned"
    assert status.keys() == {
        "cluster",
        "group",
        "status",
        "complete",
        "partitions",
        "partition_count",
        "maxlag",
        "totallag",
    }
    assert (status["cluster"], status["group"]) == ("local", group)
    assert (status["totallag"], status["partition_count"], status["complete"]) == (6, 2, 0.5)
    (stopped,) = status["partitions"]
    assert stopped == status["maxlag"]
    assert stopped.keys() == {
        "topic",
        "partition",
        "owner",
        "client_id",
        "status",
        "start",
        "end",
        "current_lag",
        "complete",
    }
    assert (stopped["status"], stopped["current_lag"], stopped["complete"]) == ("STOP", 6, 1.0)
    assert (stopped["start"]["offset"], stopped["end"]["offset"]) == (1, 4)


def test_lag_tells_of_all_partitions_status_of_those_in_trouble(
    http: httpx.Client, monitored: EmbeddedBroker, group: str, commit: Any
) -> None:
    commit(monitored, group, group, 10)
    status = get(http, f"{CLUSTER}/consumer/{group}/status")["status"]
    assert (status["status"], status["partitions"], status["totallag"]) == ("OK", [], 0)
    lag = get(http, f"{CLUSTER}/consumer/{group}/lag")["status"]
    assert [(each["partition"], each["status"]) for each in lag["partitions"]] == [(0, "OK"), (1, "OK")]
    assert (lag["partitions"][1]["start"], lag["partitions"][1]["current_lag"]) == (None, 0)


@pytest.mark.parametrize("path", [f"{CLUSTER}/consumer/nope", "/v3/kafka/nope/consumer/x"])
@pytest.mark.parametrize("what", ["status", "lag"])
def test_the_status_of_nobody(http: httpx.Client, path: str, what: str) -> None:
    body = get(http, f"{path}/{what}", 404)
    assert body["error"] is False
    assert body["status"] == {
        "cluster": path.split("/")[3],
        "group": path.split("/")[-1],
        "status": "NOTFOUND",
        "complete": 1.0,
        "partitions": [],
        "partition_count": 0,
        "maxlag": None,
        "totallag": 0,
    }


def test_a_deleted_consumer_is_forgotten_until_it_commits(
    http: httpx.Client, monitored: EmbeddedBroker, group: str, commit: Any
) -> None:
    response = http.delete(f"{CLUSTER}/consumer/{group}/topic/nope")
    assert response.json()["message"] == "consumer group removed"
    get(http, f"{CLUSTER}/consumer/{group}")
    assert http.delete(f"{CLUSTER}/consumer/{group}").status_code == 200
    get(http, f"{CLUSTER}/consumer/{group}", 404)
    assert group not in get(http, f"{CLUSTER}/consumer")["consumers"]
    commit(monitored, group, group, 10)
    get(http, f"{CLUSTER}/consumer/{group}")


def test_configuration(http: httpx.Client) -> None:
    body = get(http, "/v3/config")
    assert body.keys() == {"error", "message", "request", "general", "logging", "zookeeper", "httpserver"}
    for kind, names in (
        ("storage", ["default"]),
        ("evaluator", ["default"]),
        ("cluster", ["local"]),
        ("consumer", ["default"]),
        ("notifier", []),
    ):
        listing = get(http, f"/v3/config/{kind}")
        assert (listing["coordinator"], listing["modules"]) == (kind, names)
        for name in names:
            assert get(http, f"/v3/config/{kind}/{name}")["module"]["class-name"] == "shmbroker"
        assert get(http, f"/v3/config/{kind}/nope", 404)["message"] == f"{kind} module not found"
    storage = get(http, "/v3/config/storage/default")["module"]
    assert (storage["intervals"], storage["min-distance"], storage["expire-group"]) == (3, 0, 604800)


def test_the_log_level_is_the_daemons(http: httpx.Client, monitored: EmbeddedBroker) -> None:
    assert get(http, "/v3/admin/loglevel")["level"] == "info"
    for word, level in (("DEBUG", "debug"), ("warn", "warning"), ("info", "info")):
        response = http.post("/v3/admin/loglevel", content=f'{{"level": "{word}"}}')
        assert (response.status_code, response.json()["message"]) == (200, "set log level")
        assert get(http, "/v3/admin/loglevel")["level"] == level
    assert "logging from debug on" in monitored.log
    for content, code in (("{", 400), ('{"level": 3}', 400), ('{"level": "loud"}', 404), ("x" * 5000, 413)):
        assert http.post("/v3/admin/loglevel", content=content).status_code == code


@pytest.mark.parametrize(
    ("method", "path", "code"), [("GET", "/", 404), ("GET", "/v2/kafka", 404), ("POST", "/v3/kafka", 405)]
)
def test_what_is_not_there(http: httpx.Client, method: str, path: str, code: int) -> None:
    response = http.request(method, path)
    assert (response.status_code, response.json()["message"]) == (code, "invalid request type")


def test_pages_from_elsewhere_get_nothing(http: httpx.Client) -> None:
    for name in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", ""):
        assert http.get("/v3/kafka", headers={"host": name}).status_code == 403
    for name in ("localhost", "localhost:99", "127.0.0.1:1", "[::1]:80", "[::1]"):
        assert http.get("/v3/kafka", headers={"host": name}).status_code == 200
    headers = {"origin": "http://evil.example"}
    assert http.delete(f"{CLUSTER}/consumer/x", headers=headers).status_code == 403
    assert http.post("/v3/admin/loglevel", headers=headers, content='{"level": "debug"}').status_code == 403


# --- the process -------------------------------------------------------------------------------------------


def monitor_pid(broker: EmbeddedBroker) -> int | None:
    """None while there is none; a process may go between two looks at it."""
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(broker.pid).children():
            with suppress(psutil.NoSuchProcess):
                if "shmbrokerd.monitor" in process.cmdline():
                    return int(process.pid)
    return None


def test_a_unix_socket_serves_too_and_goes_with_the_daemon(tmp_path_factory: Any, folder: Path) -> None:
    path = folder / "http.sock"
    leftover = socket.socket(socket.AF_UNIX)
    leftover.bind(str(path))
    leftover.close()
    with EmbeddedBroker(config={"http.listen": f"unix:{path}"}):
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://any.name") as client:
            assert client.get("/v3/kafka").json()["clusters"] == ["local"]
        assert path.stat().st_mode & 0o777 == 0o660
    assert not path.exists()


def test_a_monitor_process_that_dies_is_started_anew(
    address: Callable[[EmbeddedBroker], str], wait_for: Any
) -> None:
    with EmbeddedBroker(config={"http.listen": "127.0.0.1:0"}) as broker:
        wait_for(lambda: monitor_pid(broker) is not None)
        first = monitor_pid(broker)
        assert first is not None
        url = f"{address(broker)}/burrow/admin/ready"
        assert httpx.get(url, timeout=20).text == "READY"
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: monitor_pid(broker) not in (None, first))
        assert httpx.get(url, timeout=20).text == "READY"
        assert "monitor process was killed by signal 9" in broker.log


def test_the_daemon_stops_in_time_whatever_http_does(
    address: Callable[[EmbeddedBroker], str], wait_for: Any, pid_exists: Any
) -> None:
    with EmbeddedBroker(config={"http.listen": "127.0.0.1:0"}) as broker:
        host, port = address(broker).removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as idle, httpx.Client() as client:
            idle.send(b"GET /v3/kafka HTTP/1.1\r\n")
            client.get(f"{address(broker)}/v3/kafka", timeout=20)
            pid = monitor_pid(broker)
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            started = time.monotonic()
            broker.stop()
            assert time.monotonic() - started < 15  # the daemon waits for nobody
            wait_for(lambda: not pid_exists(pid))


def test_the_monitor_process_goes_when_the_daemon_is_killed(wait_for: Any, pid_exists: Any) -> None:
    with EmbeddedBroker(config={"http.listen": "127.0.0.1:0"}) as broker:
        wait_for(lambda: monitor_pid(broker) is not None)
        pid = monitor_pid(broker)
        broker.kill()
        wait_for(lambda: not pid_exists(pid))


def test_without_http_there_is_no_monitor_process(monitored: EmbeddedBroker) -> None:
    with EmbeddedBroker() as broker:
        assert monitor_pid(broker) is None
        assert "serving lag" not in broker.log


def test_an_address_in_use_is_an_error_at_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(
            BrokerStartError, match=rf"cannot listen on {listen} \(http.listen\): Address already"
        ):
            EmbeddedBroker(config={"http.listen": listen}).start()


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:80", "example.com:80", ":80", "127.0.0.1", "127.0.0.1:x", "unix:rel"]
)
def test_only_this_host_is_served(listen: str) -> None:
    with pytest.raises(BrokerStartError, match=r"http\.listen=.* use 127\.0\.0\.1:PORT"):
        EmbeddedBroker(config={"http.listen": listen}).start()
