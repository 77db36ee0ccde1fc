import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmclient.serialization import (
    Deserializer,
    DoubleDeserializer,
    DoubleSerializer,
    IntegerDeserializer,
    IntegerSerializer,
    SerializationError,
    Serializer,
    StringDeserializer,
    StringSerializer,
)


# Verified against confluent_kafka 2.16.
@pytest.mark.parametrize(
    ("serializer", "deserializer", "obj", "data"),
    [
        (StringSerializer(), StringDeserializer(), "é", b"\xc3\xa9"),
        (StringSerializer("latin1"), StringDeserializer("latin1"), "é", b"\xe9"),
        (StringSerializer(), StringDeserializer(), "", b""),
        (IntegerSerializer(), IntegerDeserializer(), 5, b"\0\0\0\5"),
        (IntegerSerializer(), IntegerDeserializer(), -1, b"\xff\xff\xff\xff"),
        (DoubleSerializer(), DoubleDeserializer(), 1.5, b"?\xf8\0\0\0\0\0\0"),
        (StringSerializer(), StringDeserializer(), None, None),
        (IntegerSerializer(), IntegerDeserializer(), None, None),
        (DoubleSerializer(), DoubleDeserializer(), None, None),
    ],
)
def test_the_bytes_are_those_of_kafkas_own_serializers(
    serializer: Serializer, deserializer: Deserializer, obj: object, data: bytes | None
) -> None:
    assert serializer(obj) == data
    assert deserializer(data) == obj


@pytest.mark.parametrize(
    ("serializer", "obj"),
    [
        (StringSerializer("ascii"), "é"),
        (StringSerializer(), b"bytes"),
        (StringSerializer(), 5),
        (IntegerSerializer(), 2**31),
        (IntegerSerializer(), "5"),
        (IntegerSerializer(), 1.5),
        (DoubleSerializer(), "x"),
        (DoubleSerializer(), 10**400),
    ],
)
def test_what_cannot_be_serialized_is_refused(serializer: Serializer, obj: object) -> None:
    with pytest.raises(SerializationError):
        serializer(obj)


@pytest.mark.parametrize(
    ("deserializer", "data"),
    [
        (StringDeserializer(), b"\xff"),
        (StringDeserializer(), "text"),
        (IntegerDeserializer(), b"abc"),
        (IntegerDeserializer(), b"12345"),
        (DoubleDeserializer(), b""),
        (DoubleDeserializer(), "x"),
    ],
)
def test_what_cannot_be_deserialized_is_refused(deserializer: Deserializer, data: Any) -> None:
    with pytest.raises(SerializationError):
        deserializer(data)


@pytest.mark.parametrize("kind", [StringSerializer, StringDeserializer])
def test_an_unknown_encoding_is_refused_at_once(kind: type[StringSerializer]) -> None:
    with pytest.raises(LookupError, match="klingon"):
        kind("klingon")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_comes_back(text: str) -> None:
    assert StringDeserializer()(StringSerializer()(text)) == text


@given(st.integers(-(2**31), 2**31 - 1))
def test_an_integer_comes_back(number: int) -> None:
    assert IntegerDeserializer()(IntegerSerializer()(number)) == number


@given(st.floats())
def test_a_float_comes_back(number: float) -> None:
    back = DoubleDeserializer()(DoubleSerializer()(number))
    assert back == number or (back is not None and math.isnan(back) and math.isnan(number))
