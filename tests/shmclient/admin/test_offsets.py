import pytest

from shmclient.admin.offsets import DeletedRecords, ListOffsetsResultInfo, OffsetSpec


# Verified against confluent_kafka 2.16.
def test_the_logical_specs_have_kafkas_numbers() -> None:
    assert OffsetSpec.latest().value == -1
    assert OffsetSpec.earliest().value == -2
    assert OffsetSpec.max_timestamp().value == -3
    assert OffsetSpec.for_timestamp(5).value == 5


def test_a_number_gives_the_spec_it_stands_for() -> None:
    assert OffsetSpec(-1) is OffsetSpec.latest()
    assert OffsetSpec(-2) is OffsetSpec.earliest()
    assert OffsetSpec(-3) is OffsetSpec.max_timestamp()
    assert OffsetSpec(7).value == 7
    with pytest.raises(KeyError):
        OffsetSpec(-4)


def test_specs_are_ordered_by_number() -> None:
    assert OffsetSpec.earliest() < OffsetSpec.latest() < OffsetSpec.for_timestamp(0)


def test_an_unknown_leader_epoch_is_none() -> None:
    assert ListOffsetsResultInfo(5, -1, -1).leader_epoch is None
    found = ListOffsetsResultInfo(5, 99, 2)
    assert (found.offset, found.timestamp, found.leader_epoch) == (5, 99, 2)
    assert DeletedRecords(8).low_watermark == 8
