"""Is there a daemon, and does it say of itself that it is well?"""

from __future__ import annotations

from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Finding, ok, problem, warning


def check(facts: Facts) -> Finding:
    daemon, data, runtime = facts.daemon, facts.data, facts.runtime
    if daemon is not None:
        if daemon.alarms:
            return warning(
                f"the daemon with pid {daemon.pid} has alarms: {'; '.join(daemon.alarms)}",
                "its log has when and why; `shmbroker status` shows those that last",
            )
        if daemon.data_dir != data.path:
            return warning(
                f"the daemon with pid {daemon.pid} uses {daemon.data_dir}, not {data.path}",
                "leave out --data-dir to look at the one in use",
            )
        return ok(f"pid {daemon.pid} answers at {daemon.runtime_dir}")
    if runtime.is_held:
        return problem(
            f"a daemon holds {runtime.path} and does not answer",
            "see its log; it may be starting (a check after a power loss takes a while), stopped (SIGSTOP), or of another user",
        )
    if data.holder_pid:
        who = f"pid {data.holder_pid}" if data.holder_pid > 0 else "a process that does not say which it is"
        return warning(
            f"{data.path} is in use by {who}, and nobody answers at {runtime.path}",
            "give the daemon's runtime dir with --runtime-dir",
        )
    return ok("none is running")
