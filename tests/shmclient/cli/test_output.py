import sys

from shmclient.cli.output import format_bytes, format_time, write_json, write_table


def test_tables_in_a_pipe_are_columns_under_a_header(capsys):
    write_table(["name", "how many"], [["a", 1], ["longer", None], ["b", 2.5]], title="things")
    assert capsys.readouterr().out == "# things\nNAME    HOW_MANY\na       1\nlonger  -\nb       2.5\n"


def test_tables_on_a_terminal_are_drawn(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    write_table(["name", "count"], [["[bold]a", 12345]])
    drawn = capsys.readouterr().out
    assert "[bold]a" in drawn  # names are data, not markup
    assert "12345" in drawn


def test_json_is_one_line(capsys):
    write_json({"a": [1, "\u00e4"]})
    assert capsys.readouterr().out == '{"a":[1,"\u00e4"]}\n'


def test_sizes_and_times():
    assert [format_bytes(size) for size in (0, 1023, 1024, 1.5 * 2**20, 2**50)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 MiB",
        "1024.0 TiB",
    ]
    assert format_time(-1) == "-"
    assert format_time(10**18) == str(10**18)
    assert format_time(1_700_000_000_123).endswith(":20.123+00:00") or ".123" in format_time(
        1_700_000_000_123
    )
