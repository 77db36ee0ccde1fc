import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.reset_plans import format_plan, parse_plan, read_plan
from shmclient.cli.reset_scenarios import Place

PLAN = {"billing": {Place("orders", 0): 5, Place("orders", 1): 7}, "a,b": {Place("orders", 0): 1}}


def test_one_group_needs_no_column_of_its_own():
    assert format_plan({"billing": PLAN["billing"]}) == "orders,0,5\norders,1,7\n"
    assert parse_plan("orders,0,5\norders,1,7\n", ["billing"], "f") == {"billing": PLAN["billing"]}


def test_several_groups_are_told_apart():
    text = 'billing,orders,0,5\nbilling,orders,1,7\n"a,b",orders,0,1\n'
    assert format_plan(PLAN) == text
    assert parse_plan(text, ["billing", "a,b"], "f") == PLAN
    assert parse_plan(text, ["billing"], "f") == PLAN, "with the column a single group is fine, too"


def test_no_group_is_an_empty_plan():
    assert format_plan({}) == ""
    assert parse_plan("", ["billing"], "f") == {}


def test_empty_lines_spaces_and_line_ends_of_other_systems_do_not_matter():
    assert parse_plan("\n orders , 0 , 5 \r\n\r\norders,1,7\r\n", ["billing"], "f") == {
        "billing": PLAN["billing"]
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("orders,0", "plan.csv, line 1: 2 columns"),
        ("orders,0,5\n\norders,0,5,6", "plan.csv, line 3: 4 columns"),
        ("orders,x,5", "plan.csv, line 1: partition 'x' is no number"),
        ("orders,-1,5", "partition '-1' is no number"),
        ("orders,0,", "offset '' is no number"),
        ("orders,0,1.5", "offset '1.5' is no number"),
        ("topic,partition,offset", "line 1: partition 'partition' is no number"),
        ("orders,0,5\norders,0,6", r"line 2: orders \[0\] is there a second time"),
        ('"orders,0,5', "plan.csv, line 1: "),
    ],
)
def test_mistakes_are_told_with_the_line(text, message):
    with pytest.raises(CliError, match=message):
        parse_plan(text, ["billing"], "plan.csv")


def test_lines_without_a_group_are_of_no_use_for_two():
    with pytest.raises(CliError, match="with 2 groups each line has to begin with one"):
        parse_plan("orders,0,5", ["billing", "audit"], "plan.csv")


def test_files(tmp_path):
    path = tmp_path / "plan.csv"
    path.write_text("\ufefforders,0,5\norders,1,7\n", encoding="utf-8")
    assert read_plan(path, ["billing"]) == {"billing": PLAN["billing"]}
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CliError, match=r"plan.csv: not a text in UTF-8"):
        read_plan(path, ["billing"])
    with pytest.raises(CliError) as caught:
        read_plan(tmp_path / "none", ["billing"])
    assert caught.value.code == ExitCode.NOT_FOUND


names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1)
offsets = st.dictionaries(
    st.builds(Place, names, st.integers(0, 2**31 - 1)), st.integers(-(2**63), 2**63 - 1), min_size=1
)


@given(st.dictionaries(names, offsets, min_size=1, max_size=3))
def test_what_is_exported_can_be_read_back(plan):
    assert parse_plan(format_plan(plan), list(plan), "f") == plan
