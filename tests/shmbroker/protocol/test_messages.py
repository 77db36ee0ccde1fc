import types
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.protocol.framing import Codec

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
BASIC: dict[Any, st.SearchStrategy[Any]] = {
    int: INT64,
    str: st.text(max_size=8),
    bool: st.booleans(),
    ErrorCode: st.sampled_from(ErrorCode),
    type(None): st.none(),
}
ENVELOPES = [m.Request, m.Response, m.BrokerCommand, m.BrokerEvent]


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a message field's type."""
    if kind in BASIC:
        return BASIC[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field: values_of(hints[field]) for field in kind.__struct_fields__})
    origin, arguments = getattr(kind, "__origin__", None), get_args(kind)
    if isinstance(kind, types.UnionType):
        return st.one_of(*map(values_of, arguments))
    if origin is list:
        return st.lists(values_of(arguments[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=2)
    assert origin is tuple, kind
    return st.tuples(*map(values_of, arguments))


@pytest.mark.parametrize("envelope", ENVELOPES, ids=lambda envelope: envelope.__name__)
def test_every_message_survives_the_wire(envelope: type) -> None:
    codec: Codec[Any] = Codec(envelope)

    @given(values_of(envelope))
    @settings(max_examples=100, deadline=None)
    def survives(message: Any) -> None:
        assert codec.decode(codec.encode(message)[4:]) == message

    survives()


@pytest.mark.parametrize("envelope", ENVELOPES, ids=lambda envelope: envelope.__name__)
def test_bodies_are_told_apart_by_their_names(envelope: type) -> None:
    bodies = get_args(get_type_hints(envelope)["body"])
    assert len({body.__struct_config__.tag for body in bodies}) == len(bodies)


def test_fields_added_later_may_be_missing() -> None:
    old = msgspec.msgpack.encode([1, ["NewTopicSpec", "t"]])
    spec = msgspec.msgpack.decode(old, type=tuple[int, m.NewTopicSpec])[1]
    assert (spec.num_partitions, spec.replication_factor, spec.configs) == (-1, -1, {})
