import pytest


def test_produce_makes_a_topic_and_deletes_it(cli):
    before = cli("topics", "list").ok()
    figures = cli("perf", "produce", "-n", 5000, "-s", 50, "--json").json()
    assert figures["records"] == 5000
    assert figures["bytes"] == 250_000
    assert figures["records_per_s"] > 0
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"] <= figures["max_ms"]
    assert cli("topics", "list").ok() == before


def test_produce_then_consume_the_same_topic(cli, topic, tmp_path):
    (tmp_path / "lines").write_text("a\nbb\n")
    figures = cli(
        "perf", "produce", "-t", topic, "-n", 1000, "--payload-file", tmp_path / "lines", "--json"
    ).json()
    assert figures["bytes"] == 1500
    for option in ((), ("--batches",), ("-n", "600")):
        read = cli("perf", "consume", "-t", topic, "--json", *option).json()
        wanted = 600 if "-n" in option else 1000
        assert read["records"] == wanted
        assert read["mb_per_s"] > 0
    assert "RECORDS_PER_S" in cli("perf", "consume", "-t", topic).ok()


def test_throughput_is_limited(cli):
    figures = cli("perf", "produce", "-n", 200, "--throughput", 1000, "--json").json()
    assert figures["seconds"] >= 0.18


@pytest.mark.parametrize("acks", ["1", "all"])
def test_latency(cli, acks):
    figures = cli("perf", "latency", "-n", 50, "--acks", acks, "--json").json()
    assert figures["records"] == 50
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]


def test_an_empty_topic_is_read_at_once(cli, topic):
    assert cli("perf", "consume", "-t", topic, "--json").json()["records"] == 0
    assert cli("perf", "consume", "-t", topic, "--batches", "--json").json()["records"] == 0


def test_unknown_topics_are_not_found_and_not_created(cli, new_name):
    assert cli("perf", "produce", "-t", new_name).exit_code == 4
    assert cli("perf", "consume", "-t", new_name).exit_code == 4
    assert new_name not in cli("topics", "list").ok().splitlines()


def test_an_empty_payload_file_is_refused(cli, tmp_path):
    (tmp_path / "empty").touch()
    assert cli("perf", "produce", "--payload-file", tmp_path / "empty").exit_code == 1
