import enum
import types
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.protocol.framing import Codec

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
BASIC: dict[Any, st.SearchStrategy[Any]] = {
    int: INT64,
    str: st.text(max_size=8),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    type(None): st.none(),
}
ENVELOPES = [m.Request, m.Response, m.BrokerCommand, m.BrokerEvent]


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a message field's type."""
    if kind in BASIC:
        return BASIC[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
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
    if arguments[1:] == (...,):
        return st.lists(values_of(arguments[0]), max_size=2).map(tuple)
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


def test_commits_and_committed_offsets_of_before_groups_had_members_are_understood() -> None:
    commit = msgspec.msgpack.encode([1, ["CommitOffsets", "g", [["OffsetToCommit", "t", 0, 5, -1, None]]]])
    body = msgspec.msgpack.decode(commit, type=m.Request).body
    assert isinstance(body, m.CommitOffsets)
    assert (body.member_id, body.member_epoch, body.instance_id) == ("", -1, None)


def test_groups_speak_with_kafkas_words() -> None:
    assert [state.value for state in m.GroupState] == ["Empty", "Assigning", "Reconciling", "Stable", "Dead"]
    assert [kind.value for kind in m.GroupType] == ["Classic", "Consumer"]


@pytest.mark.parametrize("body", [["GroupState"], ["JoinGroup", "g", "m", 0, ["t"], None, None, "Share"]])
def test_a_word_that_kafka_does_not_know_is_refused(body: list[Any]) -> None:
    with pytest.raises(BrokerError) as caught:
        Codec(m.Request).decode(msgspec.msgpack.encode([1, body]))
    assert caught.value.code == ErrorCode.INVALID_REQUEST
