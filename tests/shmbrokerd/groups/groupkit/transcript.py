"""Conversations with a coordinator as text files: a command, ``----``, what came of it, an empty line.

===================================== =========================================================
``topic t 3``, ``grow t 4``           make a topic, give it more partitions
``drop t``
``join a t u key=value ...``          JoinGroup of member a with these topics and fields
``back a t epoch=2 owned=t-0,t-1``    JoinGroup of a member that is one already
``release a [t-0 ...]``               by default all that it is asked for
``leave a [operation]``, ``die a``    with a word; by losing the connection
``commit a 2 t-0 7``                  member (``-``: nobody), epoch, partition, offset
``assign``                            compute what targets are due
``alive a b``, ``wait 100``           stamps; ms pass
``restart``                           the daemon is killed and started again
===================================== =========================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from groupkit.desk import Desk, owned_text
from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m

SEPARATOR = "----"


def replay(text: str) -> str:
    """The transcript as it comes out now; comments are kept."""
    blocks = []
    desk: Desk | None = None
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        comments = [line for line in lines if line.startswith("#")]
        commands = [line for line in lines[len(comments) :] if line != ""]
        if not commands:
            blocks.append(block)
            continue
        command = commands[0]
        if desk is None:
            desk = Desk(*command.split()[1:]) if command.startswith("daemon") else Desk()
        output = [] if command.startswith("daemon") else list(_run(desk, command))
        blocks.append("\n".join([*comments, command, SEPARATOR, *output]))
    return "\n\n".join(blocks) + "\n"


def _run(desk: Desk, command: str) -> Iterator[str]:
    verb, *words = command.split()
    reply = _COMMANDS[verb](desk, words)
    if reply is not None:
        yield f"reply: {_reply_text(reply)}"
    for message in desk.take_inbox():
        yield f"to {message.connection}: {_push_text(message.body)}"
    if "g" in desk.state.groups:
        row = desk.state.groups["g"].row
        members = [f"{member}: {owned or '-'}" for member, owned in desk.owned().items()]
        yield f"{desk.state_of()} {row.assignment_epoch}/{row.epoch} {' | '.join(members)}".rstrip()


def _reply_text(reply: Any) -> str:
    if isinstance(reply, ErrorCode):
        return reply.name
    if isinstance(reply, m.PartitionOutcomesReply):
        return reply.outcomes[0].code.name
    return f"epoch {reply.member_epoch}, owns {owned_text(reply.assigned, reply.revoking) or 'nothing'}"


def _push_text(body: Any) -> str:
    if isinstance(body, m.GroupFenced):
        return f"fenced, {body.code.name}, {body.cause}"
    return f"epoch {body.member_epoch}, owns {owned_text(body.assigned, body.revoking) or 'nothing'}"


def _join(desk: Desk, words: list[str], member_epoch: int = 0) -> Any:
    member, *rest = words
    fields: dict[str, Any] = {"member_epoch": member_epoch}
    for word in rest:
        key, equals, value = word.partition("=")
        if equals:
            fields[key] = _FIELDS.get(key, str)(value)
    return desk.join(member, *(word for word in rest if "=" not in word), **fields)


def _back(desk: Desk, words: list[str]) -> Any:
    return _join(desk, [word.replace("epoch=", "member_epoch=") for word in words])


def _partitions(names: str) -> m.Partitions:
    partitions: m.Partitions = {}
    for name in filter(None, names.split(",")):
        topic, _, number = name.rpartition("-")
        partitions.setdefault(topic, []).append(int(number))
    return partitions


_FIELDS: dict[str, Callable[[str], Any]] = {
    "member_epoch": int,
    "session_timeout_ms": int,
    "rebalance_timeout_ms": int,
    "owned": _partitions,
    "group_type": m.GroupType,
    "assignors": lambda value: value.split(","),
}


def _release(desk: Desk, words: list[str]) -> Any:
    return desk.release(words[0], _partitions(",".join(words[1:])) or None)


def _leave(desk: Desk, words: list[str]) -> Any:
    return desk.leave(words[0], operation=m.LeaveOperation(*words[1:] or ["default"]))


def _commit(desk: Desk, words: list[str]) -> Any:
    member, epoch, partition, offset = words
    topic, _, number = partition.rpartition("-")
    return desk.commit("" if member == "-" else member, int(epoch), topic, int(number), int(offset))


_COMMANDS: dict[str, Callable[[Desk, list[str]], Any]] = {
    "topic": lambda desk, words: desk.create(words[0], int(words[1])),
    "grow": lambda desk, words: desk.grow(words[0], int(words[1])),
    "drop": lambda desk, words: desk.delete(words[0]),
    "join": _join,
    "back": _back,
    "release": _release,
    "leave": _leave,
    "die": lambda desk, words: desk.disconnect(f"{words[0]}'s"),
    "commit": _commit,
    "assign": lambda desk, words: desk.assign(),
    "alive": lambda desk, words: desk.alive(*words),
    "wait": lambda desk, words: desk.pass_ms(int(words[0])),
    "restart": lambda desk, words: desk.restart(),
}
