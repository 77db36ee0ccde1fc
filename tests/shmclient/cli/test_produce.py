import json
import os
import select

import pytest


def read(cli, topic, *options):
    """All records of a topic, as `consume --json` shows them."""
    return cli("consume", topic, "--from-beginning", "-e", "--json", *options).json_lines()


def pairs(records):
    return sorted((record["key"], record["value"]) for record in records)


def test_lines_of_stdin_become_records(cli, topic):
    assert cli("produce", topic, stdin="one\ntwo\n\nlast without newline").ok() == ""
    values = sorted(record["value"] for record in read(cli, topic))
    assert values == ["", "last without newline", "one", "two"]


def test_keys_headers_and_nulls(cli, topic):
    stdin = "k1=v1\nk2=a=b\nno key\nk3=NULL\nNULL=v4\n"
    cli("produce", topic, "-K", "=", "-Z", "NULL", "-H", "a=1", "-H", "a=2=3", stdin=stdin).ok()
    records = read(cli, topic)
    found = {(record["key"], record["value"]) for record in records}
    assert found == {("k1", "v1"), ("k2", "a=b"), (None, "no key"), ("k3", None), (None, "v4")}
    headers = [{"name": "a", "value": "1"}, {"name": "a", "value": "2=3"}]
    assert all(record["headers"] == headers for record in records)


def test_a_fixed_key_and_partition(cli, topic):
    cli("produce", topic, "-k", "me", "-p", 1, stdin="a\nb\n").ok()
    assert [(r["partition"], r["offset"], r["key"], r["value"]) for r in read(cli, topic)] == [
        (1, 0, "me", "a"),
        (1, 1, "me", "b"),
    ]


def test_other_delimiters_and_files(cli, topic, tmp_path):
    (tmp_path / "one").write_bytes(b"a;b;c")
    (tmp_path / "two").write_bytes(b"d;")
    cli("produce", topic, tmp_path / "one", "-", tmp_path / "two", "-D", ";", "-p", 0, stdin="x;y").ok()
    assert [record["value"] for record in read(cli, topic)] == ["a", "b", "c", "x", "y", "d"]


def test_whole_files_are_one_record_each(cli, topic, tmp_path):
    contents = bytes(range(256)) * 10 + b"\n\n"
    (tmp_path / "image").write_bytes(contents)
    cli("produce", topic, "--whole-files", tmp_path / "image").ok()
    assert cli("consume", topic, "--from-beginning", "-e", "-f", "%S").ok() == str(len(contents))


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_compression(cli, topic, codec):
    cli("produce", topic, "-z", codec, "--partition", 0, stdin="same words\n" * 100).ok()
    assert len(read(cli, topic)) == 100
    first = cli("top", "--once", "-i", "0.05", "--json").json()
    assert first["counters"]["records appended"]["total"] >= 100


def test_json_goes_in_as_it_came_out(cli, topic, new_name):
    cli("topics", "create", new_name, "-p", 2).ok()
    cli(
        "produce", topic, "-K", "=", "-Z", "NULL", "-H", "h=\u00e4", stdin=b"k=v\nx=NULL\nbytes=\xff\xfe\n"
    ).ok()
    copied = cli("consume", topic, "--from-beginning", "-e", "--json").ok()
    summary = cli("produce", new_name, "--json", stdin=copied).json()
    assert (summary["records"], summary["failed"]) == (3, 0)

    def comparable(records):
        unlike = ("topic", "partition", "offset")
        return sorted(json.dumps({k: v for k, v in r.items() if k not in unlike}) for r in records)

    assert comparable(read(cli, new_name)) == comparable(read(cli, topic))


def test_a_line_that_is_no_json_record_is_named(cli, topic):
    for line in ("no json", "[1]", '{"key": 1}', '{"value_base64": "?"}'):
        result = cli("produce", topic, "--json", stdin=line)
        assert result.exit_code == 1
        assert line in result.stderr


def test_tee_copies_the_input(cli, topic):
    assert cli("produce", topic, "--tee", stdin="a\nb\n").ok() == "a\nb\n"


def test_a_partition_that_does_not_exist_fails(cli, topic):
    result = cli("produce", topic, "-p", 7, stdin="a\n")
    assert result.exit_code == 4
    assert result.stderr.startswith("shmbroker: ")


def test_a_record_that_is_too_large_fails_with_the_limit(cli, topic):
    result = cli("produce", topic, stdin="x" * 2_000_000 + "\n")
    assert result.exit_code == 1
    assert "message.max.bytes" in result.stderr


def test_a_missing_file_is_not_found(cli, topic, tmp_path):
    result = cli("produce", topic, tmp_path / "missing")
    assert result.exit_code == 4
    assert "missing: no such file" in result.stderr


def test_bad_options_are_usage_errors(cli, topic):
    assert cli("produce", topic, "-H", "no value").exit_code == 2
    assert cli("produce", topic, "-D", "").exit_code == 2
    assert cli("produce", topic, "-X", "no value", stdin="a").exit_code == 2
    assert cli("produce", topic, "-X", "no.such.key=1", stdin="a").exit_code == 2
    assert cli("produce").exit_code == 2


def test_a_typed_line_is_sent_before_the_next_one_comes(spawn, cli, topic):
    producer = spawn("produce", topic, "--partition", 0)
    producer.stdin.write(b"first\n")
    producer.stdin.flush()
    consumer = spawn("consume", topic, "--from-beginning")
    assert consumer.stdout.readline() == b"first\n"
    producer.stdin.close()
    assert producer.wait(30) == 0


def test_ctrl_c_keeps_what_was_typed(spawn, cli, topic):
    import signal

    producer = spawn("produce", topic, "--tee")
    producer.stdin.write(b"kept\n")
    producer.stdin.flush()
    assert select.select([producer.stdout], [], [], 30)[0]
    assert os.read(producer.stdout.fileno(), 100) == b"kept\n"
    producer.send_signal(signal.SIGINT)
    assert producer.wait(30) == 130
    assert [record["value"] for record in read(cli, topic)] == ["kept"]
