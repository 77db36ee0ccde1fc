"""Who owns the two directories and who may write in them."""

from __future__ import annotations

import stat

from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.finding import Action, Finding, Verb, listed, ok, problem


def check(facts: Facts) -> Finding:
    return (
        _data_dir(facts) or _runtime_dir(facts) or ok(f"{facts.data.path} and {facts.runtime.path} are well")
    )


def _data_dir(facts: Facts) -> Finding | None:
    data = facts.data
    if data.foreign:
        action = (
            Action(Verb.CHANGE_OWNER, data.foreign, owner=(data.uid, data.gid)) if facts.uid == 0 else None
        )
        return problem(
            f"not of uid {data.uid}, as the data dir is: {listed(data.foreign)}",
            f"as root: chown -R {data.uid}:{data.gid} {data.path}",
            action,
        )
    if data.writable_by_all:
        return problem(
            f"everybody may write {listed(data.writable_by_all)}",
            f"chmod -R o-w {data.path}",
            _deny(facts, data.uid, data.writable_by_all),
        )
    if data.unreadable:
        return problem(
            f"uid {facts.uid} may not read {listed(data.unreadable)}: a consumer of this user could not either",
            "add the user to the group of the daemon, or look as the daemon's user",
        )
    return None


def _runtime_dir(facts: Facts) -> Finding | None:
    runtime = facts.runtime
    if not runtime.exists:
        return None
    if runtime.uid not in (0, facts.uid) and runtime.uid != facts.data.uid:
        return problem(
            f"{runtime.path} belongs to uid {runtime.uid}: clients there could be handed to somebody else's daemon",
            "choose another --runtime-dir",
        )
    if runtime.mode & stat.S_IWOTH and not runtime.mode & stat.S_ISVTX:
        return problem(
            f"everybody may write {runtime.path}: a daemon refuses it",
            f"chmod o-w {runtime.path}",
            _deny(facts, runtime.uid, (runtime.path,)),
        )
    if not runtime.is_socket_usable:
        return problem(
            f"uid {facts.uid} may not connect to the socket in {runtime.path}",
            "add the user to the group of the daemon",
        )
    return None


def _deny(facts: Facts, owner: int, paths: tuple[str, ...]) -> Action | None:
    return Action(Verb.DENY_OTHERS, paths) if facts.uid in (0, owner) else None
