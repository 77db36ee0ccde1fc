"""``partition.metadata``, the file in a partition's folder that says whose log it is; see ``folder_names``.

It is written when the folder is made and never again. It is not flushed: a power loss right after a topic was made can take it,
and a log without one belongs to the topic of its name, as those of older versions do.
"""

from __future__ import annotations

import os
from pathlib import Path

from shmbroker.log.folder_names import METADATA_NAME, Label, parse_label, topic_id_text
from shmbroker.log.segment import storage_error

_MOST_BYTES = 4096
"""A whole one has some 350 at most."""


def read_label(folder: Path | str) -> Label | None:
    """None where there is none, or one that cannot be read."""
    content = _read(folder)
    return None if content is None else parse_label(content.decode("utf-8", "replace"))


def _read(folder: Path | str) -> bytes | None:
    try:
        fd = os.open(f"{folder}/{METADATA_NAME}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, _MOST_BYTES)
    except OSError:
        return None
    finally:
        os.close(fd)


def claim(folder: Path, label: Label) -> None:
    """Make ``folder``, and the file in it, where there is none.

    Raises:
        BrokerError: KAFKA_STORAGE_ERROR; it cannot be made, or is another partition's.
    """
    wanted = label.text().encode()
    if _read(folder) == wanted:  # as with each start: no need to take it apart
        return
    found = read_label(folder)
    if found is None:
        try:
            _write(folder, wanted)
        except OSError as error:
            raise storage_error(folder, "cannot make the folder of the log", error) from error
    elif found.owner != label.owner:
        raise storage_error(
            folder,
            "the log of another topic is in the way",
            f"{METADATA_NAME} names {found.topic} [{found.partition}] of topic id {topic_id_text(found.topic_id)}, not"
            f" {label.topic} [{label.partition}] of {topic_id_text(label.topic_id)}",
        )


def _write(folder: Path, content: bytes) -> None:
    """In place: what a crash leaves of it is none, and is written once more."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / METADATA_NAME
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, content)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(fd)
