import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmclient.cli import record_input
from shmclient.cli.exit_codes import CliError
from shmclient.cli.record_input import RecordRules, split_stream


class Dribble(io.BytesIO):
    """Gives a stream in pieces of a given size, as a slow pipe does."""

    def __init__(self, data, size):
        super().__init__(data)
        self._size = size

    def read1(self, _size=-1):
        return super().read(self._size)


def split(data, delimiter, size):
    return [record for records in split_stream(Dribble(data, size), delimiter) for record in records]


@given(
    data=st.lists(st.sampled_from([b"a", b"b", b"<", b">", b"<>"])).map(b"".join),
    delimiter=st.sampled_from([b"<", b"<>", b"<>a"]),
    size=st.integers(1, 7),
)
def test_records_are_those_of_a_plain_split_whatever_the_pieces(data, delimiter, size):
    expected = data.split(delimiter)
    if not expected[-1]:
        expected.pop()
    assert split(data, delimiter, size) == expected


def test_a_stream_without_a_delimiter_is_refused_when_it_grows_too_large(monkeypatch):
    monkeypatch.setattr(record_input, "MAX_RECORD_BYTES", 100)
    with pytest.raises(CliError, match="no delimiter"):
        split(b"x" * 1000, b"\n", 10)


def rules(key_separator=None, null_marker=None, headers=(), is_json=False):
    return RecordRules(key_separator, null_marker, list(headers), is_json)


def test_rules():
    assert rules().parse(b"a:b") == {"key": None, "value": b"a:b"}
    assert rules(b":").parse(b"a:b:c") == {"key": b"a", "value": b"b:c"}
    assert rules(b":").parse(b"abc") == {"key": None, "value": b"abc"}
    assert rules(b":", b"-").parse(b"a:-") == {"key": b"a", "value": None}
    assert rules(b":", b"-").parse(b"-:b") == {"key": None, "value": b"b"}
    assert rules(headers=[("h", b"1")]).parse(b"a")["headers"] == [("h", b"1")]
    json_rules = rules(headers=[("h", b"1")], is_json=True)
    parsed = json_rules.parse(b'{"value": "v", "headers": [{"name": "g", "value": "0"}]}')
    assert parsed["headers"] == [("g", b"0"), ("h", b"1")]
