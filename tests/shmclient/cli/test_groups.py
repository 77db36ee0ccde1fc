import json
import os

import pytest

from shmclient.cli.completion import complete_group


def listed(cli, *options):
    return {row["group"]: row for row in cli("groups", "list", "--json", *options).json()}


# --- list --------------------------------------------------------------------------------------------------


def test_groups_are_listed_with_state_and_type(cli, group, filled, join):
    other = f"{group}-with-members"
    join(other, filled)
    found = listed(cli)
    assert found[group] == {"group": group, "state": "Empty", "type": "Classic", "is_simple": True}
    assert found[other] == {"group": other, "state": "Stable", "type": "Classic", "is_simple": False}
    header, *lines = cli("groups", "list").ok().splitlines()
    assert header.split() == ["GROUP", "STATE", "TYPE"]
    assert [group, "Empty", "Classic"] in [line.split() for line in lines]


def test_lists_are_filtered(cli, group, filled, join):
    other = f"{group}-with-members"
    join(other, filled)
    assert group in listed(cli, "--state", "empty")
    assert other not in listed(cli, "--state", "empty")
    assert {group, other} <= set(listed(cli, "--state", "Empty,Stable", "--type", "classic"))
    assert {group, other} <= set(listed(cli, "--state", "Empty", "--state", "Stable"))
    assert listed(cli, "--type", "consumer") == {}


@pytest.mark.parametrize(("option", "known"), [("--state", "Reconciling"), ("--type", "Consumer")])
def test_a_filter_that_can_match_nothing_is_refused(cli, option, known):
    result = cli("groups", "list", option, "nonsense")
    assert (result.exit_code, result.stdout) == (2, "")
    assert known in result.stderr


# --- describe ----------------------------------------------------------------------------------------------


def test_offsets_are_described_with_their_lag(cli, group, filled):
    result = cli("groups", "describe", group)
    header, line = result.ok().splitlines()
    assert header.split() == [
        "GROUP", "TOPIC", "PARTITION", "COMMITTED", "LOG_END", "LAG", "CONSUMER_ID", "HOST", "CLIENT_ID",
    ]  # fmt: skip
    assert line.split() == [group, filled, "0", "2", "4", "2", "-", "-", "-"]
    assert "has no members at present" in result.stderr
    (row,) = cli("groups", "describe", group, "--offsets", "--json").json()
    assert (row["committed"], row["log_end"], row["lag"], row["consumer_id"]) == (2, 4, 2, None)
    (row,) = cli("groups", "describe", group, "--verbose", "--json").json()
    assert row["metadata"] is None
    assert "leader_epoch" in row


def test_owners_are_described_also_where_nothing_is_committed(cli, group, filled, join):
    name = f"{group}-new"
    member = join(name, filled)
    first, second = cli("groups", "describe", name, "--json").json()
    assert (first["partition"], second["partition"]) == (0, 1)
    for row in (first, second):
        assert (row["committed"], row["lag"]) == (None, None)
        assert (row["consumer_id"], row["host"], row["client_id"]) == (
            member.member_id,
            f"/{os.getpid()}",
            "raw-member",
        )


def test_members_are_described(cli, group, filled, join):
    name = f"{group}-new"
    member = join(name, filled, instance_id="one")
    (row,) = cli("groups", "describe", name, "--members", "--json").json()
    assert (row["consumer_id"], row["instance_id"], row["partitions"]) == (member.member_id, "one", 2)
    (row,) = cli("groups", "describe", name, "--members", "--verbose", "--json").json()
    assert row["assignment"] == row["target"] == f"{filled}:0,1"
    assert row["epoch"] >= 1
    assert cli("groups", "describe", group, "--members").ok() == ""


def test_states_are_described(cli, group, filled, join, shmbroker_session):
    name = f"{group}-new"
    join(name, filled)
    empty, stable = cli("groups", "describe", group, name, "--state", "--json").json()
    assert (empty["state"], empty["members"], empty["assignor"]) == ("Empty", 0, None)
    assert (stable["state"], stable["members"], stable["assignor"]) == ("Stable", 1, "range")
    assert str(shmbroker_session.runtime_dir) in stable["coordinator"]
    (row,) = cli("groups", "describe", name, "--state", "--verbose", "--json").json()
    assert row["group_epoch"] == row["assignment_epoch"] >= 1


def test_all_groups_are_described(cli, group):
    rows = cli("groups", "describe", "--all-groups", "--state", "--json").json()
    assert group in {row["group"] for row in rows}


def test_an_unknown_group_is_told_and_the_others_are_shown(cli, group):
    result = cli("groups", "describe", "no-such-group", group, "--json")
    assert result.exit_code == 4
    assert [row["group"] for row in json.loads(result.stdout)] == [group]
    assert result.stderr == "shmbroker: group 'no-such-group' does not exist\n"


def test_what_describe_is_asked_must_be_one_thing(cli, group):
    assert cli("groups", "describe", group, "--members", "--state").exit_code == 2
    assert cli("groups", "describe").exit_code == 2
    assert cli("groups", "describe", group, "--all-groups").exit_code == 2
    assert cli("groups", "describe", "").exit_code == 1


# --- delete ------------------------------------------------------------------------------------------------


def test_a_group_is_deleted_with_its_offsets(cli, group):
    assert cli("groups", "delete", group).ok() == f"{group}: deleted\n"
    assert group not in listed(cli)
    assert cli("groups", "describe", group).exit_code == 4


def test_a_group_with_members_is_not_deleted_and_the_others_are(cli, group, filled, join):
    busy = f"{group}-busy"
    join(busy, filled)
    result = cli("groups", "delete", busy, group, "no-such-group", "--json")
    assert result.exit_code == 1
    found = {row["group"]: row["result"] for row in json.loads(result.stdout)}
    assert found == {busy: "failed", group: "deleted", "no-such-group": "failed"}
    assert busy in result.stderr
    assert "no-such-group" in result.stderr
    assert busy in listed(cli)


def test_a_missing_daemon_is_an_exit_code_of_its_own(cli):
    for command in (["list"], ["describe", "g"], ["delete", "g"], ["delete-offsets", "g", "--topic", "t"]):
        assert cli("groups", *command, "-b", "shm:/nonexistent").exit_code == 3


def test_ids_of_groups_are_completed_and_nothing_is_without_a_daemon(cli, group, monkeypatch):
    assert group in complete_group("group-")
    assert complete_group("no-such-") == []
    monkeypatch.setenv("SHMBROKER_BOOTSTRAP", "shm:/nonexistent")
    assert complete_group("") == []
