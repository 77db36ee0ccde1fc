def test_the_beginning_is_deleted(cli, topic):
    cli("produce", topic, "-p", 0, stdin="a\nb\nc\n").ok()
    assert cli("delete-records", topic, "-p", 0, "--before", 2, "--json").json() == [
        {"topic": topic, "partition": 0, "earliest": 2}
    ]
    assert cli("consume", topic, "--from-beginning", "-e").ok() == "c\n"


def test_end_deletes_all_there_are(cli, topic):
    cli("produce", topic, "-p", 1, stdin="a\nb\n").ok()
    rows = cli("delete-records", topic, "--before", "end").ok().splitlines()
    assert [row.split()[1:] for row in rows[1:]] == [["0", "0"], ["1", "2"]]
    assert cli("consume", topic, "--from-beginning", "-e").ok() == ""


def test_what_cannot_be_deleted(cli, topic, new_name):
    assert cli("delete-records", topic, "--before", 5).exit_code == 1
    assert cli("delete-records", topic, "--before", "x").exit_code == 2
    assert cli("delete-records", topic).exit_code == 2
    assert cli("delete-records", new_name, "--before", 0).exit_code == 4
