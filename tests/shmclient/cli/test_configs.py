def test_set_get_unset(cli, topic):
    assert cli(
        "configs", "set", "--topic", topic, "retention.ms=1000", "segment.bytes=2000000"
    ).ok().splitlines() == [
        "retention.ms=1000",
        "segment.bytes=2000000",
    ]
    shown = cli("configs", "get", "--topic", topic, "--json").json()
    assert {entry["name"]: entry["value"] for entry in shown} == {
        "retention.ms": "1000",
        "segment.bytes": "2000000",
    }
    assert cli("configs", "unset", "--topic", topic, "retention.ms", "--json").json() == {
        "topic": topic,
        "configs": {"retention.ms": "604800000"},
    }
    assert "retention.ms" not in cli("configs", "get", "--topic", topic).ok()


def test_given_keys_are_shown_whether_set_or_not(cli, topic):
    lines = cli("configs", "get", "--topic", topic, "max.message.bytes", "cleanup.policy").ok().splitlines()
    assert [line.split()[0] for line in lines] == ["KEY", "max.message.bytes", "cleanup.policy"]
    assert lines[2].split()[1:] == ["delete", "default", "config"]


def test_all_lists_every_key(cli, topic):
    assert len(cli("configs", "get", "--topic", topic, "--all").ok().splitlines()) > 20


def test_brokers_have_configurations_too(cli):
    (entry,) = cli("configs", "get", "--broker", 0, "num.partitions", "--json").json()
    assert entry["value"] == "1"


def test_a_mistyped_key_names_the_near_one(cli, topic):
    result = cli("configs", "get", "--topic", topic, "retention.mss")
    assert result.exit_code == 4
    assert "did you mean retention.ms?" in result.stderr


def test_a_refused_value_changes_nothing(cli, topic):
    result = cli("configs", "set", "--topic", topic, "segment.bytes=2000000", "retention.ms=soon")
    assert result.exit_code == 1
    assert "retention.ms" in result.stderr
    assert cli("configs", "get", "--topic", topic, "--json").json() == []


def test_exactly_one_resource_must_be_named(cli, topic):
    assert cli("configs", "get").exit_code == 2
    assert cli("configs", "get", "--topic", topic, "--broker", 0).exit_code == 2


def test_an_unknown_topic_is_not_found(cli, new_name):
    assert cli("configs", "get", "--topic", new_name).exit_code == 4
    assert cli("configs", "set", "--topic", new_name, "retention.ms=1").exit_code == 4


def test_an_unknown_key_cannot_be_unset(cli, topic):
    for command in (
        ("configs", "unset", "--topic", topic, "retention.mss"),
        ("topics", "alter", topic, "--unset", "retention.mss"),
    ):
        result = cli(*command)
        assert result.exit_code == 4
        assert "retention.mss" in result.stderr
        assert "did you mean retention.ms?" in result.stderr
