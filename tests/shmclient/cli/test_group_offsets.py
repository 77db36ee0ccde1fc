import json

import pytest

EPOCH = "1970-01-01T00:00:00"


def committed(cli, group):
    result = cli("groups", "describe", group, "--json")
    if result.exit_code == 4:
        return {}
    return {(row["topic"], row["partition"]): row["committed"] for row in json.loads(result.ok())}


def reset(cli, *arguments):
    """partition -> new offset, and what was noted."""
    result = cli("groups", "reset-offsets", *arguments, "--json")
    return {row["partition"]: row["new_offset"] for row in json.loads(result.ok())}, result.stderr


# --- reset-offsets: scenarios ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (["--to-earliest"], {0: 0, 1: 0}),
        (["--to-latest"], {0: 4, 1: 1}),
        (["--to-current"], {0: 2, 1: 1}),
        (["--to-offset", "1"], {0: 1, 1: 1}),
        (["--to-offset", "3"], {0: 3, 1: 1}),
        (["--to-datetime", f"{EPOCH}.250"], {0: 2, 1: 0}),
        (["--to-datetime", f"{EPOCH}.260Z"], {0: 2, 1: 1}),
        (["--to-datetime", "1970-01-01T01:00:00.400+01:00"], {0: 3, 1: 1}),
        (["--by-duration", "PT1M"], {0: 4, 1: 1}),
        (["--by-duration", "P99999D"], {0: 0, 1: 0}),
    ],
    ids=str,
)
def test_each_scenario_is_shown_and_changes_nothing_unless_executed(cli, group, filled, scenario, expected):
    before = committed(cli, group)
    found, notes = reset(cli, group, "--topic", filled, *scenario)
    assert found == expected
    assert "nothing was changed; --execute" in notes
    assert committed(cli, group) == before
    found, notes = reset(cli, group, "--topic", filled, *scenario, "--execute")
    assert found == expected
    assert "nothing was changed" not in notes
    assert committed(cli, group) == {(filled, number): offset for number, offset in expected.items()}


@pytest.mark.parametrize(("records", "expected"), [(1, 3), (-2, 0), (0, 2), (50, 4), (-50, 0)])
def test_shifts(cli, group, filled, records, expected):
    found, notes = reset(cli, group, "--topic", f"{filled}:0", "--shift-by", records, "--execute")
    assert found == {0: expected}
    assert ("set to that" in notes) == (abs(records) == 50)
    assert committed(cli, group) == {(filled, 0): expected}


def test_what_was_never_committed_cannot_be_shifted_and_nothing_else_is(cli, group, filled):
    result = cli("groups", "reset-offsets", group, "--topic", filled, "--shift-by", 1, "--execute")
    assert result.exit_code == 1
    assert f"cannot shift the offset of {filled} [1]" in result.stderr
    assert committed(cli, group) == {(filled, 0): 2}


# --- reset-offsets: scope ----------------------------------------------------------------------------------


def test_all_topics_are_those_the_group_has_committed_in(cli, group, filled):
    found, _ = reset(cli, group, "--all-topics", "--to-earliest", "--execute")
    assert found == {0: 0}
    assert committed(cli, group) == {(filled, 0): 0}
    _, notes = reset(cli, f"{group}-unknown", "--all-topics", "--to-earliest", "--execute")
    assert "there is nothing to reset" in notes


def test_a_group_that_does_not_exist_is_given_offsets_to_begin_with(cli, group, filled):
    name = f"{group}-new"
    reset(cli, name, "--topic", f"{filled}:1", "--to-latest", "--execute")
    assert committed(cli, name) == {(filled, 1): 1}
    assert cli("consume", filled, "-p", 1, "--group", name, "--exit-at-end").ok() == ""


def test_several_groups_and_partitions_at_once(cli, group, filled):
    other = f"{group}-other"
    arguments = ("--topic", f"{filled}:1", "--topic", f"{filled}:0,1", "--to-latest", "--execute")
    result = cli("groups", "reset-offsets", group, other, *arguments)
    header, *lines = result.ok().splitlines()
    assert header.split() == ["GROUP", "TOPIC", "PARTITION", "COMMITTED", "NEW_OFFSET", "RESULT"]
    assert [line.split() for line in lines] == [
        [group, filled, "0", "2", "4", "set"],
        [group, filled, "1", "-", "1", "set"],
        [other, filled, "0", "-", "4", "set"],
        [other, filled, "1", "-", "1", "set"],
    ]
    assert committed(cli, other) == {(filled, 0): 4, (filled, 1): 1}


def test_a_group_with_members_is_refused_and_the_others_are_reset(cli, group, filled, join):
    busy = f"{group}-busy"
    join(busy, filled)
    arguments = ("--topic", filled, "--to-earliest", "--execute")
    result = cli("groups", "reset-offsets", busy, group, *arguments)
    assert result.exit_code == 1
    assert f"offsets of group '{busy}' cannot be reset: it is Stable, with 1 members" in result.stderr
    assert "hint: stop its consumers first" in result.stderr
    assert committed(cli, busy) == {(filled, 0): None, (filled, 1): None}
    assert committed(cli, group) == {(filled, 0): 0, (filled, 1): 0}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--to-earliest"],
        ["--topic", "t", "--all-topics", "--to-earliest"],
        ["--topic", "t"],
        ["--topic", "t", "--to-earliest", "--to-latest"],
        ["--topic", "t", "--to-offset", "0", "--shift-by", "0"],
        ["--topic", "t:x", "--to-earliest"],
        ["--topic", "t", "--to-datetime", "yesterday"],
        ["--topic", "t", "--by-duration", "1h"],
        ["--topic", "t", "--to-earliest", "--execute", "--dry-run"],
        ["--topic", "t", "--to-earliest", "--export", "--json"],
        ["--topic", "t", "--from-file", "f"],
        ["--all-groups", "--topic", "t", "--to-earliest"],
    ],
    ids=" ".join,
)
def test_options_that_make_no_sense_together_are_refused(cli, group, arguments):
    assert cli("groups", "reset-offsets", group, *arguments).exit_code == 2


def test_a_group_has_to_be_named(cli):
    assert cli("groups", "reset-offsets", "--topic", "t", "--to-earliest").exit_code == 2


def test_unknown_topics_and_partitions(cli, group, filled, new_name):
    for scope in (new_name, f"{filled}:7"):
        assert (
            cli("groups", "reset-offsets", group, "--topic", scope, "--to-earliest", "--execute").exit_code
            == 4
        )
    assert committed(cli, group) == {(filled, 0): 2}


# --- reset-offsets: files ----------------------------------------------------------------------------------


def test_what_is_exported_can_be_set_from_the_file(cli, group, filled, tmp_path):
    file = tmp_path / "plan.csv"
    exported = cli("groups", "reset-offsets", group, "--all-topics", "--to-current", "--export").ok()
    assert exported == f"{filled},0,2\n"
    file.write_text(exported)
    reset(cli, group, "--topic", filled, "--to-latest", "--execute")
    found, _ = reset(cli, group, "--from-file", file, "--execute")
    assert found == {0: 2}
    assert committed(cli, group) == {(filled, 0): 2, (filled, 1): 1}


def test_a_file_for_several_groups_names_them(cli, group, filled, tmp_path):
    other = f"{group}-other"
    file = tmp_path / "plan.csv"
    arguments = ("--topic", f"{filled}:0", "--to-offset", 1, "--export")
    file.write_text(cli("groups", "reset-offsets", group, other, *arguments).ok())
    assert file.read_text() == f"{group},{filled},0,1\n{other},{filled},0,1\n"
    result = cli("groups", "reset-offsets", group, "--from-file", file, "--execute")
    assert result.ok().splitlines()[1].split() == [group, filled, "0", "2", "1", "set"]
    assert f"the file also has group '{other}'" in result.stderr
    assert committed(cli, other) == {}
    result = cli("groups", "reset-offsets", group, f"{group}-third", "--from-file", file, "--execute")
    assert result.exit_code == 1
    assert f"says nothing of group '{group}-third'" in result.stderr


def test_files_that_are_wrong_change_nothing(cli, group, filled, tmp_path):
    file = tmp_path / "plan.csv"
    file.write_text(f"{filled},0,0\n{filled},9,0\n")
    assert cli("groups", "reset-offsets", group, "--from-file", file, "--execute").exit_code == 4
    file.write_text(f"{filled},0,0\n{filled},0\n")
    assert "line 2" in cli("groups", "reset-offsets", group, "--from-file", file, "--execute").stderr
    assert cli("groups", "reset-offsets", group, "--from-file", tmp_path / "none").exit_code == 4
    assert committed(cli, group) == {(filled, 0): 2}


# --- delete-offsets ----------------------------------------------------------------------------------------


def test_offsets_are_deleted(cli, group, filled):
    reset(cli, group, "--topic", filled, "--to-latest", "--execute")
    text = cli("groups", "delete-offsets", group, "--topic", f"{filled}:0").ok()
    assert text.splitlines()[1].split() == [filled, "0", "deleted"]
    assert committed(cli, group) == {(filled, 1): 1}
    (zero, one) = cli("groups", "delete-offsets", group, "--topic", filled, "--json").json()
    assert (zero["result"], one["result"]) == ("deleted", "deleted")
    assert committed(cli, group) == {}


def test_offsets_of_topics_that_members_subscribe_to_stay(cli, group, filled, join):
    join(group, filled)
    result = cli("groups", "delete-offsets", group, "--topic", filled, "--json")
    assert result.exit_code == 1
    assert {row["result"] for row in json.loads(result.stdout)} == {"failed"}
    assert "subscribe" in result.stderr
    assert committed(cli, group)[filled, 0] == 2


def test_what_cannot_be_deleted(cli, group, filled, new_name):
    assert cli("groups", "delete-offsets", group).exit_code == 2
    assert cli("groups", "delete-offsets", f"{group}-unknown", "--topic", filled).exit_code == 4
    assert cli("groups", "delete-offsets", group, "--topic", new_name).exit_code == 4
