"""``shmbroker log verify`` and ``shmbroker log repair``: whole segments checked, and written anew where they are damaged."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from shmclient.cli import output
from shmclient.cli.exit_codes import CliError
from shmclient.cli.options import Json

if TYPE_CHECKING:
    from shmbroker.log.recovery import SegmentFacts

Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH...",
        help="Segment files, folders of partitions, or the data dir of a daemon.",
        show_default=False,
    ),
]


class Checked(NamedTuple):
    """A segment that was looked at; ``damage`` is "" when nothing is wrong."""

    path: Path
    batches: int
    log_end: int
    damage: str
    facts: SegmentFacts | None
    """None for a segment that a daemon may be writing: its batches alone were looked at."""


def verify(paths: Paths, as_json: Json = False) -> None:
    """Check every page and every batch of segments. Reads only, also beside a running daemon; exits with 1 when anything is
    damaged."""
    damaged = total = 0
    for checked in _check_all(paths):
        total += 1
        damaged += bool(checked.damage)
        if as_json:
            output.write_json(_figures(checked))
        elif checked.damage:
            output.write_lines([f"{checked.path}: offset {checked.log_end}: {checked.damage}"])
    if not as_json:
        output.write_lines([f"{total} segments, {damaged} damaged"])
    if damaged:
        raise CliError(
            f"{damaged} of {total} segments are damaged", hint="stop the daemon, then: shmbroker log repair"
        )


def repair(
    paths: Paths,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do it. Without this only what would be done is shown.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write damaged segments anew from the whole batches in them; the old file stays beside the new one, as *.mdb.damaged.
    Refused while a daemon uses the data dir. Exits with 1 when damage was only shown."""
    with contextlib.ExitStack() as stack:
        for root in sorted({root for path in paths if (root := _data_dir_of(path)) is not None}):
            stack.enter_context(_locked(root))
        found = [checked for checked in _check_all(paths, is_ours=True) if checked.damage]
        for checked in found:
            _repair_one(checked, yes, as_json)
    if not found and not as_json:
        output.write_lines(["nothing is damaged"])
    if found and not yes:
        raise CliError(f"{len(found)} segments are damaged; nothing was changed", hint="--yes repairs them")


def _repair_one(checked: Checked, yes: bool, as_json: bool) -> None:
    from shmbroker.log.place import place_of
    from shmbroker.log.recovery import decide_segment

    assert checked.facts is not None, "nobody writes while the lock is held"
    figures = _figures(checked)
    if not yes:
        text = f"{checked.path}: would be written anew: {checked.damage}"
    else:
        from shmbroker.log.rebuild import rebuild

        outcome = rebuild(
            place_of(checked.path),
            decide_segment(checked.facts),
            checked.damage,
            lambda _: None,
            always_keep=True,
        )
        figures |= outcome._asdict() | {"decision": outcome.decision.name}
        text = f"{checked.path}: {outcome}"
    if as_json:
        output.write_json(figures)
    else:
        output.write_lines([text])


def _figures(checked: Checked) -> dict[str, Any]:
    return {
        "file": str(checked.path),
        "batches": checked.batches,
        "log_end": checked.log_end,
        "damage": checked.damage or None,
    }


# --- looking -----------------------------------------------------------------------------------------------


def _check_all(paths: list[Path], *, is_ours: bool = False) -> Iterator[Checked]:
    """``is_ours``: no daemon can be writing, for its lock is held here."""
    from shmclient.cli.log_files import find_segments

    segments = [segment for path in paths for segment in find_segments(path)]
    for number, path in enumerate(segments, 1):
        if sys.stderr.isatty():
            output.note(f"{number} of {len(segments)}: {path} ({output.format_bytes(path.stat().st_size)})")
        yield _check(path, is_ours)


def _check(path: Path, is_ours: bool) -> Checked:
    from shmbroker.log.inspection import inspect
    from shmbroker.log.place import place_of
    from shmbroker.log.segment import file_name

    if path.name != (file_name(int(path.stem)) if path.stem.isdigit() else ""):
        raise CliError(f"{path}: not the name of a segment, which is 20 digits and .mdb")
    place = place_of(path)
    root = _data_dir_of(path)
    if not is_ours and place.end is None and root is not None and _is_in_use(root):
        return _check_batches(path)
    facts = inspect(place, lambda _: None)
    damage = facts.damage or facts.bad_batch
    if not damage and facts.goes_on:
        damage = f"whole batches go on from offset {facts.log_end}, which the segment's tree does not know of"
    return Checked(path, facts.batches, facts.log_end, damage, facts)


def _check_batches(path: Path) -> Checked:
    """Batch by batch: pages that a daemon writes meanwhile cannot be counted."""
    from shmclient.cli.log_files import read_batches

    batches, log_end = 0, int(path.stem)
    for found in read_batches(path):
        damage = found if isinstance(found, str) else found.damage
        if damage:
            return Checked(path, batches, log_end, damage, None)
        assert not isinstance(found, str)
        batches, log_end = batches + 1, found.key + 1
    return Checked(path, batches, log_end, "", None)


# --- whose files these are ---------------------------------------------------------------------------------


def _data_dir_of(path: Path) -> Path | None:
    """The data dir that ``path`` is, or is in."""
    from shmbroker.directories import PROPERTIES_NAME

    path = path.absolute()
    return next((folder for folder in (path, *path.parents) if (folder / PROPERTIES_NAME).is_file()), None)


def _is_in_use(root: Path) -> bool:
    try:
        with _locked(root):
            return False
    except _InUseError:
        return True


class _InUseError(CliError):
    def __init__(self, root: Path, pid: str) -> None:
        super().__init__(f"{root} is in use by the daemon with pid {pid}", hint="stop it first")


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold the lock of a data dir, so that no daemon starts on it meanwhile."""
    from shmbroker.directories import LOCK_NAME

    try:
        fd = os.open(root / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield  # a copy without its lock
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _InUseError(
                root, os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            ) from None
        yield
    finally:
        os.close(fd)
