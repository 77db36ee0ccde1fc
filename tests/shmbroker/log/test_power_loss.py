"""Power loss, simulated: the disk has any part of what was written since the last flush, page by page, torn at sectors.

A *history* is a log that is written, flushed, rolled, killed and opened again at random, with the content of its files after
each commit. A *case* takes one moment of it and makes up what the disk may hold then: of each page either what was flushed, or
what any commit since has written, or a mixture of these by sectors; and files that are as long as they were then, or less. The
log is recovered from that, and must have everything that was flushed, nothing that was never appended, and go on.

Each case has a number. ``SHMBROKER_POWER_LOSS_CASES=N`` runs N of them from ``SHMBROKER_POWER_LOSS_FIRST`` on: one again,
or many.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shmbroker.log import active, segment
from shmbroker.log.anchor import Anchor
from shmbroker.log.reader import LogReader
from shmbroker.log.recovery import SegmentDecision
from shmbroker.log.restore import restore_log
from shmbroker.log.writer import PartitionWriter
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.layout import read_header

CASES = int(os.environ.get("SHMBROKER_POWER_LOSS_CASES", "1200"))
FIRST = int(os.environ.get("SHMBROKER_POWER_LOSS_FIRST", "0"))
CASES_A_HISTORY = 50
CHUNKS = 4
"""Tests that the cases are spread over, so that a failure stops few of them."""
STEPS = 70
PAGE, SECTOR = 4096, 512
SEGMENT_BYTES = 1 << 28
PRODUCERS = 3


class Appended(NamedTuple):
    """A batch as it must be in the log, if it is."""

    data: bytes
    end: int


class Moment(NamedTuple):
    """The state after one commit."""

    versions: dict[int, tuple[bytes, ...]]
    """Each segment's file, by base offset, as it was when it was flushed last, and after each commit since."""
    promised_end: int
    """Offsets below this were flushed for somebody."""
    promised_start: int
    """The log start that was flushed."""
    log_end: int
    batches: dict[int, Appended]
    """All that was committed, by base offset: shared, and larger later on."""
    written: set[bytes]
    """These and the batches of commits that nobody lived to finish: shared, too."""


class Writing:
    """Makes a history in ``folder``."""

    def __init__(self, folder: Path, chooser: random.Random) -> None:
        self.folder = folder
        self.chooser = chooser
        self.batches: dict[int, Appended] = {}
        self.written: set[bytes] = set()
        self.versions: dict[int, tuple[bytes, ...]] = {}
        self.moments: list[Moment] = []
        self.sequences = [0] * PRODUCERS
        self.promised_end = self.promised_start = 0
        self.sizes = chooser.choice([(40,), (40, 900), (40, 3000, 5000), (3000, 5000)])
        self.flush_share = chooser.choice([0.02, 0.1, 0.4])
        self.roll_share = chooser.choice([0.0, 0.03, 0.1])
        self.writer = self.open()
        self.writer.flush()

    @property
    def path(self) -> Path:
        """Of the newest segment."""
        return self.folder / segment.file_name(self.writer.active_base)

    def open(self) -> PartitionWriter:
        return PartitionWriter(self.folder, SEGMENT_BYTES, 256, leader_epoch=0)

    def note_flush(self, path: Path) -> None:
        self.versions = {**self.versions, int(path.stem): (path.read_bytes(),)}

    def note_content(self) -> None:
        base = self.writer.active_base
        self.versions = {**self.versions, base: (*self.versions[base], self.path.read_bytes())}

    def note(self) -> None:
        self.moments.append(
            Moment(
                self.versions,
                self.promised_end,
                self.promised_start,
                self.writer.log_end,
                self.batches,
                self.written,
            )
        )

    def run(self) -> list[Moment]:
        sync, sync_file = Anchor.sync, os.fdatasync

        def sync_and_note(anchor: Anchor) -> None:
            sync(anchor)
            self.note_flush(Path(anchor._environment.path()))

        def sync_file_and_note(fd: int) -> None:
            sync_file(fd)
            self.note_flush(Path(f"/proc/self/fd/{fd}").readlink())

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Anchor, "sync", sync_and_note)
            patch.setattr(active.os, "fdatasync", sync_file_and_note)
            self.writer.flush()
            for _ in range(STEPS):
                self.step()
                self.note()
            self.writer.close()
        return self.moments

    def step(self) -> None:
        choice = self.chooser.random()
        if choice < self.flush_share:
            self.writer.flush()
            self.promised_end = self.writer.log_end
        elif choice < self.flush_share + self.roll_share:
            self.roll()
        elif choice > 0.97:
            self.writer.close()  # as a kill does: nothing is flushed
            self.writer = self.open()
        elif choice > 0.94:
            self.die_in_a_commit()
        elif choice > 0.91 and self.writer.log_end > self.writer.log_start + 1:
            self.promised_start = self.chooser.randrange(self.writer.log_start + 1, self.writer.log_end)
            self.writer.advance_log_start(self.promised_start)
            self.promised_end = self.writer.log_end
            self.versions = {base: v for base, v in self.versions.items() if base in self.bases()}
        else:
            self.append(self.chooser.choice((1, 1, 3)))

    def bases(self) -> list[int]:
        return segment.list_base_offsets(self.folder)

    def roll(self) -> None:
        """What is sealed is flushed at once, or perhaps before the next roll."""
        self.writer.roll(0)
        base = self.writer.active_base
        if base not in self.versions:
            self.versions = {**self.versions, base: (self.path.read_bytes(),)}
        if self.chooser.random() < 0.5:
            self.writer.flush_sealed()
            self.promised_end = max(self.promised_end, base)

    def append(self, count: int) -> None:
        staged = []
        for _ in range(count):
            data, header = self.make()
            position = self.writer.stage(data, header, -1)
            assert not position.is_duplicate
            staged.append((position.base_offset, data, header))
        self.writer.commit()
        for base, data, header in staged:
            self.batches[base] = Appended(bytes(data), base + header.count)
            self.written.add(bytes(data))
        self.note_content()

    def make(self) -> tuple[bytearray, Any]:
        chooser = self.chooser
        producer = chooser.randrange(PRODUCERS)
        count = chooser.choice((1, 1, 4))
        values = [chooser.randbytes(chooser.choice(self.sizes)) for _ in range(count)]
        stamp = ProducerStamp(producer, 0, self.sequences[producer])
        self.sequences[producer] += count
        data = bytearray(b"".join(build_batch(Columns(values), chooser.randrange(1 << 40), stamp)))
        return data, read_header(data)

    def die_in_a_commit(self) -> None:
        """The pages of a commit are in the file, its meta is not; then the log is opened anew and goes on."""
        metas = self.path.read_bytes()[: 2 * PAGE]
        sequences = list(self.sequences)
        self.append(1)
        self.writer.close()
        del self.batches[max(self.batches)]
        self.sequences = sequences
        with self.path.open("r+b") as file:
            file.write(metas)
        base = self.writer.active_base
        self.versions = {**self.versions, base: self.versions[base][:-1]}
        self.note_content()
        self.writer = self.open()


def on_disk(versions: tuple[bytes, ...], chooser: random.Random) -> bytes:
    """What the disk may hold when the power fails."""
    size = max(len(version) for version in versions)
    if chooser.random() < 0.3:
        size = chooser.randrange(len(versions[0]), size + 1, SECTOR)
    new_share, torn_share = chooser.choice([0.0, 0.2, 0.5, 0.9, 1.0]), chooser.choice([0.0, 0.1, 0.5])
    pages = []
    for start in range(0, size, PAGE):
        choices: list[bytes] = []
        for version in versions:
            page = version[start : start + PAGE].ljust(PAGE, b"\0")
            if not choices or page != choices[-1]:
                choices.append(page)
        pages.append(_one_page(choices, new_share, torn_share, chooser))
    return b"".join(pages)[:size]


def _one_page(choices: list[bytes], new_share: float, torn_share: float, chooser: random.Random) -> bytes:
    if len(choices) == 1:
        return choices[0]
    if chooser.random() < torn_share:
        return b"".join(chooser.choice(choices)[start : start + SECTOR] for start in range(0, PAGE, SECTOR))
    return chooser.choice(choices[1:]) if chooser.random() < new_share else choices[0]


def check_case(folder: Path, moments: list[Moment], chooser: random.Random) -> SegmentDecision:
    moment = chooser.choice(moments)
    folder.mkdir()
    for base, versions in moment.versions.items():
        (folder / segment.file_name(base)).write_bytes(on_disk(versions, chooser))
    if chooser.random() < 0.1:
        die_while_recovering(folder, chooser)
    outcomes = restore_log(folder, lambda _: None)
    outcome = outcomes[-1]
    assert outcome.log_end >= moment.promised_end, f"{outcomes}; {moment.promised_end} were flushed"
    last = read_whole(folder, moment, outcome.log_end)
    again = restore_log(folder, lambda _: None)
    assert {each.decision for each in again} == {SegmentDecision.KEEP}, f"{outcomes}, and then {again}"
    writer = PartitionWriter(folder, SEGMENT_BYTES, 256, leader_epoch=0)
    try:
        assert writer.log_end == outcome.log_end
        assert writer.log_start >= moment.promised_start
        assert_goes_on(writer, last, chooser)
    finally:
        writer.close()
    return outcome.decision


def read_whole(folder: Path, moment: Moment, log_end: int) -> bytes:
    """No offset is missing that was flushed, or in the newest segment, and every batch is one that was appended: the very one
    where it was flushed. The last one."""
    data = b""
    reader = LogReader(folder)
    bases = segment.list_base_offsets(folder)
    offset = bases[0]
    while offset < log_end:
        read = reader.read(offset, log_end, 1 << 30, check_crcs=True, active_base=bases[-1])
        assert read or moment.promised_end <= offset < bases[-1]
        offset = offset if read else bases[-1]
        for found in read:
            if found.base_offset != offset:
                assert offset >= moment.promised_end
                assert offset < bases[-1]
                offset = found.base_offset
            data = bytes(found._data)
            assert data in moment.written
            if offset < moment.promised_end:
                assert data == moment.batches[offset].data
            offset = found.last_offset + 1
    reader.close()
    return data


def assert_goes_on(writer: PartitionWriter, last: bytes, chooser: random.Random) -> None:
    """The last batch of the log is recognised when it is sent again, and a new one is appended and read."""
    if last:
        header = read_header(last)
        position = writer.stage(bytearray(last), header, -1)
        assert position == (header.base_offset, -1, True), f"it was given {position}"
    values = [chooser.randbytes(2000)]
    data = bytearray(b"".join(build_batch(Columns(values), 1, ProducerStamp(77, 0, 0))))
    base = writer.stage(data, read_header(data), -1).base_offset
    writer.commit()
    writer.flush()
    reader = LogReader(writer.folder)
    (found,) = reader.read(base, writer.log_end, 1 << 20, check_crcs=True, active_base=writer.active_base)
    assert found.value_list() == values
    reader.close()


class KilledError(Exception):
    pass


def die_while_recovering(folder: Path, chooser: random.Random) -> None:
    """The recovery ends somewhere in its middle; what it has made so far stays there."""
    left = chooser.randrange(1, 6)

    def watch(_: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            shutil.copytree(folder, copy, symlinks=True)
            raise KilledError

    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        copy = Path(name) / "copy"
        try:
            restore_log(folder, watch)
        except KilledError:
            shutil.rmtree(folder)
            copy.rename(folder)


@pytest.fixture
def scratch_dir() -> Iterator[Path]:
    """In memory where there is room: what is tested does not depend on the disk, and fsync takes time."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="shmbroker-power-loss-", dir=where) as name:
        yield Path(name)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_what_was_flushed_is_there_after_a_power_loss_and_the_log_goes_on(
    scratch_dir: Path, chunk: int
) -> None:
    decisions = dict.fromkeys(SegmentDecision, 0)
    moments: list[Moment] = []
    history = -1
    for case in range(FIRST + chunk, FIRST + CASES, CHUNKS):
        if case // CASES_A_HISTORY != history:
            history = case // CASES_A_HISTORY
            moments = Writing(scratch_dir / f"history-{history}", random.Random(history)).run()
        folder = scratch_dir / "case"
        try:
            decisions[check_case(folder, moments, random.Random(case))] += 1
        except Exception as error:
            error.add_note(f"case {case}: SHMBROKER_POWER_LOSS_FIRST={case} SHMBROKER_POWER_LOSS_CASES=1")
            raise
        shutil.rmtree(folder)
    print({decision.name: count for decision, count in decisions.items()})
    if CASES >= 1200:
        assert all(decisions.values()), "a decision was never taken: the cases are too tame"
