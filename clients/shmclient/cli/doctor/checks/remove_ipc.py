"""What systemd-logind takes away when a user logs out: names in /dev/shm (RemoveIPC) and the services of the user."""

from __future__ import annotations

from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Finding, ok, problem, warning

FIRST_USER_UID = 1000
"""logind spares the IPC of system users (logind.conf(5))."""
SHM = "/dev/shm/"
USER_RUNTIME = "/run/user/"


def check(facts: Facts) -> Finding:
    data, runtime, host = facts.data, facts.runtime, facts.host
    uid = data.uid if data.uid >= 0 else facts.uid
    if not host.has_logind or uid < FIRST_USER_UID:
        return ok("no user's logout matters to this daemon")
    inside = [path for path in (data.path, runtime.path) if f"{path}/".startswith(SHM)]
    if host.removes_ipc and inside:
        return problem(
            f"logind removes {' and '.join(inside)} when the user logs out (RemoveIPC=yes)",
            "use directories outside of /dev/shm, or set RemoveIPC=no in /etc/systemd/logind.conf",
        )
    if runtime.path.startswith(USER_RUNTIME) and not host.lingers:
        return warning(
            f"{runtime.path} and the daemon's service go when the user logs out",
            "loginctl enable-linger, if the daemon is to stay",
        )
    return ok("a logout takes nothing away")
