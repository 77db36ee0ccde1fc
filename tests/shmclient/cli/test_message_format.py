import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmclient import Message
from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.message_format import TOKENS, compile_format, from_json, to_json, unescape

RECORD = Message(
    topic="t",
    partition=3,
    offset=42,
    key=b"k",
    value=b"value",
    headers=[("a", b"1"), ("b", None)],
    timestamp=(1, 1700),
)
EMPTY = Message(topic="t", partition=0, offset=0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%s", b"value"),
        ("%t[%p]@%o", b"t[3]@42"),
        ("%k=%s;", b"k=value;"),
        ("%K %S", b"1 5"),
        ("%R", b"\0\0\0\5"),
        ("%h", b"a=1,b="),
        ("%T", b"1700"),
        ("100%%", b"100%"),
        ("%%%s%%", b"%value%"),
        (r"%s\n\t\r\0\\\x41", b"value\n\t\r\0\\A"),
        ("\u00e4%s", "\u00e4value".encode()),
        ("", b""),
        ("plain", b"plain"),
    ],
)
def test_formats(text, expected):
    assert compile_format(text)(RECORD) == expected


def test_nulls():
    assert compile_format("%k|%s|%K|%S|%h|%R")(EMPTY) == b"||-1|-1||\xff\xff\xff\xff"
    assert compile_format("%k|%s", null=b"NULL")(EMPTY) == b"NULL|NULL"


@pytest.mark.parametrize("text", ["%z", "%s%", r"\q", r"\x4", r"\xzz", "a\\"])
def test_mistakes_are_usage_errors(text):
    if text == "%s%":  # a percent sign at the very end stands for itself
        assert compile_format(text)(RECORD) == b"value%"
        return
    with pytest.raises(CliError) as caught:
        compile_format(text)
    assert caught.value.code == ExitCode.USAGE


def test_every_documented_token_works():
    for letter in TOKENS:
        assert compile_format(f"%{letter}")(RECORD)


@given(st.text())
def test_unescape_leaves_text_without_backslashes_alone(text):
    text = text.replace("\\", "")
    assert unescape(text) == text.encode("utf-8", "surrogateescape") if text.isprintable() else True


@given(
    key=st.none() | st.binary(),
    value=st.none() | st.binary(),
    headers=st.lists(
        st.tuples(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.none() | st.binary())
    ),
    timestamp=st.integers(0, 2**53),
)
def test_json_keeps_every_byte(key, value, headers, timestamp):
    line = to_json(
        Message(
            topic="t",
            partition=1,
            offset=2,
            key=key,
            value=value,
            headers=headers or None,
            timestamp=(1, timestamp),
        )
    )
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    json.loads(line)
    record = from_json(line)
    assert (record["key"], record["value"], record.get("headers", [])) == (key, value, headers)
    assert record["timestamp"] == timestamp


def test_a_time_that_the_broker_set_is_not_taken_along():
    line = to_json(Message(topic="t", partition=0, offset=0, value=b"x", timestamp=(2, 1700)))
    assert "timestamp" not in from_json(line)
    assert json.loads(line)["timestamp_type"] == "append"
