import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmclient.serialization import (
    JSONDeserializer,
    JSONSerializer,
    MessageField,
    SerializationContext,
    SerializationError,
)

documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


@dataclass
class Order:
    number: int
    placed: datetime


@given(documents)
def test_a_document_comes_back(document: Any) -> None:
    assert JSONDeserializer()(JSONSerializer()(document)) == document


def test_none_is_kafkas_null_and_not_jsons() -> None:
    assert JSONSerializer()(None) is None
    assert JSONDeserializer()(None) is None
    assert JSONDeserializer()(b"null") is None


def test_dataclasses_and_dates_need_no_help() -> None:
    order = Order(5, datetime(2024, 1, 2, tzinfo=UTC))
    assert JSONSerializer()(order) == b'{"number":5,"placed":"2024-01-02T00:00:00+00:00"}'


def test_options_are_orjsons() -> None:
    assert JSONSerializer(option=orjson.OPT_SORT_KEYS)({"b": 1, "a": 2}) == b'{"a":2,"b":1}'


def test_objects_pass_through_the_applications_own_functions() -> None:
    seen: list[str] = []

    def to_dict(number: complex, ctx: SerializationContext | None) -> dict[str, float]:
        seen.append(ctx.field if ctx else "")
        return {"re": number.real, "im": number.imag}

    def from_dict(parsed: dict[str, float], ctx: SerializationContext | None) -> complex:
        return complex(parsed["re"], parsed["im"])

    data = JSONSerializer(to_dict)(1 + 2j, SerializationContext("t", MessageField.VALUE))
    assert seen == ["value"]
    assert JSONDeserializer(from_dict)(data) == 1 + 2j


@pytest.mark.parametrize("obj", [object(), {1, 2}, {"a": b"bytes"}, 2**64])
def test_what_json_cannot_say_is_refused(obj: object) -> None:
    with pytest.raises(SerializationError):
        JSONSerializer()(obj)


@pytest.mark.parametrize("data", [b"", b"{", b"nul", b"\xff", b'{"a":1} x'])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(SerializationError):
        JSONDeserializer()(data)


def test_importing_serializers_does_not_load_orjson() -> None:
    program = "import sys, shmclient.serialization; sys.exit('orjson' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
