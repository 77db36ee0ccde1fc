from shmclient.cli.group_model import Committed, Description, Member
from shmclient.cli.group_tables import (
    member_rows,
    offset_rows,
    partitions_text,
    places_of,
    remark,
    state_row,
)
from shmclient.cli.reset_scenarios import Place

A0, A1, B4 = Place("a", 0), Place("a", 1), Place("b", 4)
ONE = Member("m-1", "one", "reader", "/17", [A0], [A0, B4], 7)
TWO = Member("m-2", None, "other", "/18", [], None, None)
GROUP = Description("g", "Stable", "Classic", "range", "shm:/run (0)", 7, 6, [TWO, ONE])
COMMITTED = {A0: Committed(3, 1, "note"), A1: Committed(9, None, None)}
EMPTY = GROUP._replace(state="Empty", members=[], assignor="")


def test_what_is_committed_and_what_is_owned_has_a_row():
    assert places_of(GROUP, COMMITTED) == [A0, A1]
    assert places_of(GROUP, {B4: Committed(1, None, None)}) == [A0, B4]
    first, second = offset_rows(GROUP, COMMITTED, {A0: 10, A1: 7}, is_verbose=False)
    assert first == {
        "group": "g",
        "topic": "a",
        "partition": 0,
        "committed": 3,
        "log end": 10,
        "lag": 7,
        "consumer id": "m-1",
        "host": "/17",
        "client id": "reader",
    }
    assert (second["committed"], second["lag"], second["consumer id"]) == (9, 0, None), (
        "ahead of the log: nothing"
    )


def test_what_is_not_known_is_left_open():
    (row,) = offset_rows(GROUP, {}, {A0: 10}, is_verbose=False)
    assert (row["committed"], row["log end"], row["lag"], row["client id"]) == (None, 10, None, "reader")
    (row,) = offset_rows(EMPTY, {A0: Committed(3, None, None)}, {}, is_verbose=False)
    assert (row["committed"], row["log end"], row["lag"]) == (3, None, None)


def test_verbose_rows_tell_more():
    first, second = offset_rows(GROUP, COMMITTED, {}, is_verbose=True)
    assert (first["leader epoch"], first["metadata"]) == (1, "note")
    assert (second["leader epoch"], second["metadata"]) == (None, None)
    one, two = member_rows(GROUP, is_verbose=True)
    assert one == {
        "group": "g",
        "consumer id": "m-1",
        "instance id": "one",
        "host": "/17",
        "client id": "reader",
        "partitions": 1,
        "epoch": 7,
        "assignment": "a:0",
        "target": "a:0;b:4",
    }
    assert (two["partitions"], two["assignment"], two["target"], two["epoch"]) == (0, "", None, None)
    assert state_row(GROUP, is_verbose=True) == {
        "group": "g",
        "coordinator": "shm:/run (0)",
        "assignor": "range",
        "state": "Stable",
        "type": "Classic",
        "group epoch": 7,
        "assignment epoch": 6,
        "members": 2,
    }
    assert "group epoch" not in state_row(GROUP, is_verbose=False)
    assert state_row(EMPTY, is_verbose=False)["assignor"] is None
    assert "epoch" not in member_rows(GROUP, is_verbose=False)[0]


def test_partitions_are_written_as_kafkas_tool_does():
    assert partitions_text([B4, A1, A0]) == "a:0,1;b:4"
    assert partitions_text([]) == ""


def test_states_are_remarked_upon():
    assert remark(GROUP) == ""
    assert remark(EMPTY) == "note: group 'g' has no members at present"
    assert remark(GROUP._replace(state="Reconciling")) == "note: group 'g' is rebalancing (Reconciling)"
