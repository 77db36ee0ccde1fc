import time
from datetime import datetime

import pytest

from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.positions import Kind, Position, parse_position, parse_time


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("beginning", Position(Kind.BEGINNING)),
        ("earliest", Position(Kind.BEGINNING)),
        ("end", Position(Kind.END)),
        ("latest", Position(Kind.END)),
        ("stored", Position(Kind.STORED)),
        ("0", Position(Kind.OFFSET, 0)),
        ("12", Position(Kind.OFFSET, 12)),
        ("-5", Position(Kind.FROM_END, 5)),
        ("s@1700000000000", Position(Kind.START_TIME, 1_700_000_000_000)),
        ("e@5", Position(Kind.END_TIME, 5)),
    ],
)
def test_positions(text, position):
    assert parse_position(text) == position


@pytest.mark.parametrize("text", ["", "-", "--5", "1.5", "+1", "middle", "s@", "s@x", "\u0661", str(2**63)])
def test_what_is_no_position(text):
    with pytest.raises(CliError) as caught:
        parse_position(text)
    assert caught.value.code == ExitCode.USAGE


def test_times():
    assert parse_time("0") == 0
    assert parse_time("2026-01-31T12:00:00+01:00") == 1_769_857_200_000
    assert parse_time("2026-01-31T11:00:00.5Z") == 1_769_857_200_500
    assert parse_time("2026-01-31") == int(datetime(2026, 1, 31).timestamp() * 1000)
    for text, seconds in (("-30s", 30), ("-15m", 900), ("-2h", 7200), ("-1d", 86400)):
        assert abs(time.time() * 1000 - parse_time(text) - seconds * 1000) < 5000


@pytest.mark.parametrize("text", ["soon", "-15", "-m", "15m", "1800-01-01", str(2**63)])
def test_what_is_no_time(text):
    with pytest.raises(CliError):
        parse_time(text)
