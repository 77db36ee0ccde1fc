"""What is read from the kernel and from systemd's files."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from shmclient.cli.doctor import host_facts
from shmclient.cli.doctor.host_facts import (
    file_system_of,
    is_alive,
    is_lock_held,
    kind_of_mount,
    logind_texts,
    look_at_host,
    max_files_of,
    open_files_of,
    removes_ipc,
)

# As kernels print it: a cloud machine, NFS with its automounter, CIFS, sshfs, WSL's 9p, btrfs with subvolumes, a container.
MOUNTS = r"""
24 30 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
30 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw,discard,errors=remount-ro
37 30 0:32 / /run/user/1000 rw,nosuid,nodev,relatime shared:99 - tmpfs tmpfs rw,size=810540k,mode=700,uid=1000
52 30 0:44 / /srv/nfs rw,relatime shared:140 - autofs systemd-1 rw,fd=51,pgrp=1,timeout=600,minproto=5
611 52 0:61 / /srv/nfs rw,relatime shared:312 - nfs4 filer:/export/data rw,vers=4.2,rsize=1048576,hard,proto=tcp,addr=10.0.0.9
612 30 0:63 / /mnt/My\040Share rw,relatime shared:313 - cifs //server/My\040Share rw,vers=3.1.1,cache=strict,uid=1000
613 30 0:64 / /home/me/far rw,nosuid,nodev,relatime shared:314 - fuse.sshfs me@far:/ rw,user_id=1000,group_id=1000
614 30 0:65 / /mnt/c rw,noatime - 9p C:\134 rw,dirsync,aname=drvfs;path=C:\134;uid=1000
615 30 0:40 /@home /home rw,relatime shared:30 - btrfs /dev/sda3 rw,ssd,space_cache=v2,subvolid=257,subvol=/@home
700 699 0:70 / /container rw,relatime master:3 propagate_from:2 - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/d,workdir=/w
"""


@pytest.mark.parametrize(
    ("path", "device", "kind"),
    [
        ("/var/lib/shmbroker", (259, 1), "ext4"),
        ("/run/user/1000/shmbroker", (0, 32), "tmpfs"),
        ("/srv/nfs/data", (0, 61), "nfs4"),
        ("/mnt/My Share/data", (0, 63), "cifs"),
        ("/home/me/far/data", (0, 64), "fuse.sshfs"),
        ("/mnt/c/data", (0, 65), "9p"),
        # Devices that no mount has: what is mounted nearest above it counts.
        ("/home/me/data", (0, 41), "btrfs"),
        ("/container/data", (0, 99), "overlay"),
        ("/containers", (9, 9), "ext4"),
        ("/srv/nfs/data", (9, 9), "nfs4"),
        ("/mnt/My Share/data", (9, 9), "cifs"),
    ],
)
def test_the_kind_of_a_file_system_is_that_of_its_mount(
    path: str, device: tuple[int, int], kind: str
) -> None:
    assert kind_of_mount(MOUNTS, os.makedev(*device), path) == kind


def test_what_is_not_mounted_anywhere_is_of_no_kind() -> None:
    assert kind_of_mount("", os.makedev(8, 1), "/data") == ""
    assert kind_of_mount("nonsense\n1 2 3\n - \n", os.makedev(8, 1), "/data") == ""


def test_every_mount_of_this_machine_has_a_kind() -> None:
    assert file_system_of(Path("/")).kind
    assert file_system_of(Path("/proc")).kind == "proc"


def test_a_folder_that_is_not_there_is_where_it_would_be_made(tmp_path: Path) -> None:
    there, not_there = file_system_of(tmp_path), file_system_of(tmp_path / "a" / "b")
    assert there.total_bytes == not_there.total_bytes > 0
    assert there.kind == not_there.kind


@pytest.mark.parametrize(
    ("texts", "removes"),
    [
        ([], True),
        (["[Login]\n#RemoveIPC=no\n"], True),
        (["[Login]\nRemoveIPC=no\n"], False),
        (["[Login]\nRemoveIPC=no\n", "[Login]\nRemoveIPC = yes\n"], True),
        (["RemoveIPC=yes\nRemoveIPC=false"], False),
    ],
)
def test_the_last_word_on_remove_ipc_counts(texts: list[str], removes: bool) -> None:
    assert removes_ipc(iter(texts)) is removes


@pytest.mark.parametrize(
    ("files", "removes"),
    [
        ({}, True),
        ({"usr/lib/systemd/logind.conf": "[Login]\n#RemoveIPC=yes\n"}, True),
        ({"usr/lib/systemd/logind.conf": "[Login]\nRemoveIPC=no\n"}, False),
        # The file in /etc hides the vendor's as a whole.
        (
            {"usr/lib/systemd/logind.conf": "RemoveIPC=no", "etc/systemd/logind.conf": "#RemoveIPC=yes"},
            True,
        ),
        # Drop-ins come after every main file, wherever they are, and by name whatever folder they are in.
        (
            {
                "usr/lib/systemd/logind.conf.d/50-server.conf": "RemoveIPC=no",
                "etc/systemd/logind.conf": "RemoveIPC=yes",
            },
            False,
        ),
        (
            {
                "etc/systemd/logind.conf.d/10-a.conf": "RemoveIPC=no",
                "run/systemd/logind.conf.d/20-b.conf": "RemoveIPC=yes",
            },
            True,
        ),
        (
            {
                "etc/systemd/logind.conf.d/90-a.conf": "RemoveIPC=no",
                "run/systemd/logind.conf.d/20-b.conf": "RemoveIPC=yes",
            },
            False,
        ),
        # One of the same name in /etc, empty even, takes the place of that below.
        (
            {
                "etc/systemd/logind.conf.d/20-b.conf": "",
                "usr/lib/systemd/logind.conf.d/20-b.conf": "RemoveIPC=no",
            },
            True,
        ),
    ],
)
def test_logind_s_files_count_in_the_order_of_its_manual(
    tmp_path: Path, files: dict[str, str], removes: bool
) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert removes_ipc(logind_texts(tmp_path)) is removes


def test_a_lock_is_seen_and_not_taken(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert is_lock_held(path) is None
    path.touch()
    assert is_lock_held(path) is False
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert is_lock_held(path) is True
    assert is_lock_held(path) is False


def test_of_a_process_that_is_no_more_nothing_is_known() -> None:
    assert is_alive(os.getpid())
    assert max_files_of(os.getpid()) > 0
    assert open_files_of(os.getpid()) > 2
    nobody = 1 << 30
    assert not is_alive(nobody)
    assert (max_files_of(nobody), open_files_of(nobody)) == (-1, -1)


def test_this_host_can_be_looked_at() -> None:
    host = look_at_host()
    assert host.max_files > 0
    assert host.max_maps > 0


def test_a_test_daemons_folder_is_left_behind_once_nobody_touched_it_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_facts.tempfile, "gettempdir", lambda: str(tmp_path))
    data = tmp_path / "shmbroker-old" / "data"
    (data / "logs").mkdir(parents=True)
    for name in (".lock", "meta.properties"):
        (data / name).touch()
    (tmp_path / "shmbroker-other").mkdir()
    assert str(data.parent) not in look_at_host().scratch
    for path in (data / "logs", data / ".lock", data):
        os.utime(path, (1, 1))
    assert str(data.parent) in look_at_host().scratch
    assert str(tmp_path / "shmbroker-other") not in look_at_host().scratch
    with (data / ".lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert str(data.parent) not in look_at_host().scratch
