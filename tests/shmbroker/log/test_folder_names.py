from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.log.folder_names import (
    Label,
    is_partition_name,
    is_stray_name,
    parse_label,
    partition_folder,
    stray_name,
    topic_id_text,
)

LABELS = st.builds(
    Label,
    st.binary(min_size=16, max_size=16),
    st.text("abcXYZ019._-", min_size=1, max_size=249),
    st.integers(0, 65535),
)


@given(label=LABELS)
def test_what_a_label_says_is_read_back(label: Label) -> None:
    assert parse_label(label.text()) == label


@given(label=LABELS, cut=st.integers(0, 400))
def test_a_label_that_is_cut_short_is_none(label: Label, cut: int) -> None:
    text = label.text()
    assert parse_label(text[: min(cut, len(text) - 1)]) is None


@given(text=st.text())
def test_nonsense_is_no_label(text: str) -> None:
    assert parse_label(text) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [("version: 0", "version: 1"), ("partition: 7", "partition: x"), ("topic_id: ", "topic_id: AA")],
)
def test_a_label_of_another_version_or_with_nonsense_in_it_is_none(old: str, new: str) -> None:
    text = Label(bytes(16), "orders", 7).text()
    assert parse_label(text.replace(old, new)) is None


@given(label=LABELS, numbered=st.integers(0, 3))
def test_a_folder_that_is_set_aside_has_a_name_that_is_free_and_no_partitions(
    label: Label, numbered: int
) -> None:
    name = partition_folder(label.topic, label.partition)
    taken: set[str] = {name}
    for _ in range(numbered + 1):
        stray = stray_name(name, label.topic_id, taken)
        assert stray not in taken
        assert is_stray_name(stray)
        assert not is_partition_name(stray)
        assert len(stray) <= 255
        assert topic_id_text(label.topic_id) in stray
        taken.add(stray)


def test_names_are_kafkas(tmp_path: Path) -> None:
    folder = partition_folder("x" * 249, 65535)
    assert is_partition_name(folder)
    (tmp_path / stray_name(folder, bytes(16), ())).mkdir()
    assert stray_name("orders-0", None, ()) == "orders-0.unknown-stray"
    assert not is_partition_name("orders")
    assert not is_partition_name("orders-0.backup")
