import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.partitioners import (
    HASHES_NULL_KEYS,
    KEY_HASHES,
    MIN_LANES,
    fnv1a,
    fnv1a_many,
    murmur2,
    murmur2_many,
    murmur2_positive_many,
    partition_for,
)

KAFKAS_MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
"""From the tests of Kafka's Utils.murmur2, as Java's signed ints."""


def plain_murmur2(key: bytes) -> int:
    """The algorithm word for word, as slow as it reads."""
    h = 0x9747B28C ^ len(key)
    for start in range(0, len(key) - len(key) % 4, 4):
        k = int.from_bytes(key[start : start + 4], "little") * 0x5BD1E995 & 0xFFFFFFFF
        k = (k ^ k >> 24) * 0x5BD1E995 & 0xFFFFFFFF
        h = h * 0x5BD1E995 & 0xFFFFFFFF ^ k
    if rest := key[len(key) - len(key) % 4 :]:
        h = (h ^ int.from_bytes(rest, "little")) * 0x5BD1E995 & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return h ^ h >> 15


@pytest.mark.parametrize("key", KAFKAS_MURMUR2)
def test_murmur2_is_kafkas(key: bytes) -> None:
    expected = KAFKAS_MURMUR2[key] & 0xFFFFFFFF
    assert murmur2(key) == plain_murmur2(key) == expected
    assert murmur2_many([key] * (MIN_LANES + 3)) == [expected] * (MIN_LANES + 3)


@given(st.lists(st.binary(max_size=40), max_size=60))
def test_many_keys_hash_as_each_alone(keys: list[bytes]) -> None:
    assert murmur2_many(keys) == [murmur2(key) for key in keys] == [plain_murmur2(key) for key in keys]


@given(st.integers(0, 40), st.data())
def test_many_keys_of_one_length_hash_as_each_alone(length: int, data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.binary(min_size=length, max_size=length), min_size=MIN_LANES, max_size=40))
    assert murmur2_many(keys) == [plain_murmur2(key) for key in keys]


def test_extreme_words_do_not_spill_into_the_next_lane() -> None:
    keys = [b"\xff" * 9, b"\0" * 9] * MIN_LANES
    assert murmur2_many(keys) == [plain_murmur2(key) for key in keys]


@given(st.lists(st.binary(max_size=20), max_size=30))
def test_partitions_are_chosen_by_positive_numbers(keys: list[bytes]) -> None:
    assert murmur2_positive_many(keys) == [murmur2(key) & 0x7FFFFFFF for key in keys]
    assert all(0 <= value < 1 << 31 for value in fnv1a_many(keys) if value != 1 << 31)


def test_fnv1a_is_the_published_one_without_its_sign() -> None:
    # 32-bit FNV-1a of "a" is 0xe40c292c, of "foobar" 0xbf9cf968.
    assert fnv1a(b"a") == (1 << 32) - 0xE40C292C
    assert fnv1a(b"foobar") == (1 << 32) - 0xBF9CF968
    assert fnv1a(b"") == (1 << 32) - 0x811C9DC5


@given(st.binary(max_size=30), st.integers(1, 1000), st.sampled_from(sorted(KEY_HASHES)))
def test_a_partition_is_the_hash_modulo_their_number(key: bytes, count: int, partitioner: str) -> None:
    assert partition_for(key, count, partitioner) == KEY_HASHES[partitioner]([key])[0] % count
    assert 0 <= partition_for(key, count, partitioner) < count


def test_consistent_is_crc32() -> None:
    assert partition_for(b"key", 1000, "consistent_random") == zlib.crc32(b"key") % 1000


def test_partitioners_without_a_hash_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'random' does not hash keys"):
        partition_for(b"key", 3, "random")
    with pytest.raises(ValueError, match="0 partitions"):
        partition_for(b"key", 0)
    assert set(KEY_HASHES) >= HASHES_NULL_KEYS
