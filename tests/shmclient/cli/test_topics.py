import json

from shmclient import Producer
from shmclient.cli.output import format_bytes


def test_a_created_topic_is_listed_and_described(cli, new_name):
    assert (
        cli("topics", "create", new_name, "-p", 3, "--config", "retention.ms=1000").ok()
        == f"{new_name}: created\n"
    )
    assert new_name in cli("topics", "list").ok().splitlines()
    assert {"topic": new_name, "partitions": 3} in cli("topics", "list", "--json").json()
    (info,) = cli("topics", "describe", new_name, "--json").json()
    assert info["configs"] == {"retention.ms": "1000"}
    assert [row["partition"] for row in info["partitions"]] == [0, 1, 2]
    assert info["partitions"][0].pop("log_bytes") > 0
    assert info["partitions"][0] == {
        "partition": 0,
        "leader": 0,
        "replicas": [0],
        "isr": [0],
        "earliest": 0,
        "latest": 0,
    }
    text = cli("topics", "describe", new_name).ok()
    assert "retention.ms=1000" in text.splitlines()[0]
    assert len(text.splitlines()) == 5


def test_a_description_says_what_the_logs_take_on_disk(cli, topic, shmbroker_session):
    with Producer({"bootstrap.servers": shmbroker_session.bootstrap_servers}) as producer:
        producer.produce(topic, bytes(900_000), partition=0)
    logs = shmbroker_session.data_dir / "logs"
    (info,) = cli("topics", "describe", topic, "--json").json()
    on_disk = {
        row["partition"]: sum(
            file.stat().st_size for file in (logs / f"{topic}-{row['partition']}").glob("*.mdb")
        )
        for row in info["partitions"]
    }
    assert {row["partition"]: row["log_bytes"] for row in info["partitions"]} == on_disk
    assert info["log_bytes"] == sum(on_disk.values()) > 900_000
    text = cli("topics", "describe", topic).ok()
    assert f"size={format_bytes(info['log_bytes'])}" in text.splitlines()[0]
    assert text.splitlines()[2].endswith(format_bytes(on_disk[0]))


def test_a_topic_that_exists_is_refused_unless_that_is_fine(cli, topic):
    refused = cli("topics", "create", topic)
    assert refused.exit_code == 5
    assert refused.stdout == ""
    assert topic in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert cli("topics", "create", topic, "--if-not-exists").ok() == f"{topic}: unchanged\n"


def test_one_failure_among_many_is_the_exit_code_and_the_rest_is_done(cli, topic, new_name):
    result = cli("topics", "create", topic, new_name, "--json")
    assert result.exit_code == 5
    assert [(row["topic"], row["result"]) for row in json.loads(result.stdout)] == [
        (topic, "failed"),
        (new_name, "created"),
    ]


def test_validate_only_creates_nothing(cli, new_name):
    assert "would be created" in cli("topics", "create", new_name, "--validate-only").ok()
    assert new_name not in cli("topics", "list").ok().splitlines()


def test_bad_names_and_configs_are_refused_with_a_reason(cli, new_name):
    result = cli("topics", "create", "a b")
    assert result.exit_code == 1
    assert "a b" in result.stderr
    result = cli("topics", "create", new_name, "--config", "retention.msx=1")
    assert result.exit_code == 1
    assert "retention.msx" in result.stderr
    result = cli("topics", "create", new_name, "--config", "retention.ms")
    assert result.exit_code == 2
    assert "KEY=VALUE" in result.stderr


def test_describing_an_unknown_topic_fails_and_does_not_create_it(cli, new_name):
    result = cli("topics", "describe", new_name)
    assert result.exit_code == 4
    assert new_name in result.stderr
    assert new_name not in cli("topics", "list").ok().splitlines()


def test_alter_adds_partitions_and_changes_the_configuration(cli, topic):
    result = cli("topics", "alter", topic, "-p", 4, "--config", "retention.ms=5000")
    assert result.ok() == f"{topic}: altered\n"
    assert "other partitions than before" in result.stderr
    (info,) = cli("topics", "describe", topic, "--json").json()
    assert len(info["partitions"]) == 4
    assert info["configs"] == {"retention.ms": "5000"}
    assert cli("topics", "alter", topic, "--unset", "retention.ms", "--json").json() == {
        "topic": topic,
        "result": "altered",
    }
    assert cli("topics", "describe", topic, "--json").json()[0]["configs"] == {}


def test_alter_refuses_fewer_partitions_and_nothing_at_all(cli, topic):
    assert cli("topics", "alter", topic, "-p", 1).exit_code == 1
    assert cli("topics", "alter", topic).exit_code == 2


def test_delete(cli, topic):
    assert cli("topics", "delete", topic).ok() == f"{topic}: deleted\n"
    assert topic not in cli("topics", "list").ok().splitlines()
    assert cli("topics", "delete", topic).exit_code == 4
    assert cli("topics", "delete", topic, "--if-exists").ok() == f"{topic}: unchanged\n"
