import time

from shmclient import Consumer


def test_status_names_the_daemon_and_its_clients(cli, topic, shmbroker_session):
    with Consumer(
        {"bootstrap.servers": shmbroker_session.bootstrap_servers, "group.id": "g", "client.id": "looker"}
    ) as consumer:
        consumer.list_topics(timeout=20)
        facts = cli("status", "--json").json()
        assert facts["pid"] == shmbroker_session.pid
        assert facts["bootstrap_server"] == shmbroker_session.bootstrap_servers
        assert facts["data_dir"] == str(shmbroker_session.data_dir)
        assert facts["partitions"] >= 2
        assert facts["memory_bytes"] > 1_000_000
        assert len(facts["broker_pids"]) == 1
        assert "looker" in [session["client_id"] for session in facts["sessions"]]
        assert "looker" in cli("status").ok()


def test_no_daemon(cli, tmp_path):
    result = cli("status", "--bootstrap-server", f"shm:{tmp_path}")
    assert result.exit_code == 3
    assert result.stdout == ""
    message, hint = result.stderr.splitlines()
    assert str(tmp_path) in message
    assert "shmbrokerd" in hint


def test_status_shows_how_far_compacted_topics_are(cli, new_name):
    cli("topics", "create", new_name, "--partitions", 2, "--config", "cleanup.policy=compact").ok()

    def line():
        rows = cli("status", "--json").json()["compaction"]
        (row,) = [row for row in rows if row["compacted_topic"] == new_name]
        return row

    assert line()["partitions"] == 2
    # A cleaner is started for it, and tells that nothing is sealed yet.
    seen = {"compacted_topic": new_name, "clean_bytes": 0, "dirty_bytes": 0, "partitions": 2}
    deadline = time.monotonic() + 60
    while (found := line()) != seen | {"unseen": 0, "failing": 0}:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    assert new_name in cli("status").ok()
    cli("topics", "delete", new_name).ok()
    assert new_name not in str(cli("status", "--json").json()["compaction"])
