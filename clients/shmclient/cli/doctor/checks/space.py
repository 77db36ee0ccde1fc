"""Room for the logs, and on what kind of file system they are."""

from __future__ import annotations

from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Finding, bytes_text, ok, problem, warning

NETWORK = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "glusterfs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.ceph",
        "fuse.rclone",
        "fuse.s3fs",
    ]
)
"""File systems on which neither locks nor mappings are what LMDB needs them to be."""
VOLATILE = frozenset({"tmpfs", "ramfs"})
LOW_FACTOR = 8
"""Less than so many times log.min.free.bytes is worth a word: with the default, half a GiB."""
FULL_BYTES = 1 << 20
"""Less is a full disk, whatever log.min.free.bytes says: the next commit fails."""
LOW_FILES = 1000


def check(facts: Facts) -> Finding:
    where, place, least = facts.data.path, facts.data.file_system, facts.min_free_bytes
    free = f"{where}: {bytes_text(place.free_bytes)} of {bytes_text(place.total_bytes)} are free"
    if place.kind in NETWORK:
        return problem(f"{where} is on {place.kind}", "put the data dir on a local file system")
    if 0 <= place.free_bytes < least:
        return problem(
            f"{free}, under log.min.free.bytes={least}: records are refused",
            "make room, shorten retention, or move the data dir",
        )
    if 0 <= place.free_bytes < FULL_BYTES:
        return problem(f"{free}: the disk is full", "make room, shorten retention, or move the data dir")
    if 0 <= place.free_files < LOW_FILES:
        return problem(
            f"{where}: {place.free_files} files can still be made",
            "remove files, or make the file system anew",
        )
    if place.kind in VOLATILE:
        return warning(
            f"{where} is on {place.kind}: a reboot takes all records", "put the data dir on a disk"
        )
    if 0 <= place.free_bytes < LOW_FACTOR * least:
        return warning(
            f"{free}; below log.min.free.bytes={least} records are refused", "make room, or shorten retention"
        )
    return ok(free)
