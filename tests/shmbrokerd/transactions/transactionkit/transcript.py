"""Conversations with a coordinator as text files: a command, ``----``, what came of it, an empty line.

============================================ ==================================================
``topic t 3``, ``drop t``                    make and delete a topic; there are ``t`` and ``in``
``init a [key=value ...]``                   InitProducerId: ``a`` is a new process with id ``x``
``again a``                                  InitProducerId with what ``a`` has (KIP-360)
``add a t-0 t-1``                            AddPartitionsToTransaction
``offset a in-0 7 [key=value ...]``          CommitTransactionOffsets of group ``g``
``commit a``, ``abort a``                    EndTransaction; ``a`` goes on with what it is answered
``marked``                                   all markers are written: completed, and answered
``repeat``                                   the last request, once more
``opened t-0 a``                             a log says that ``a`` began to write there
``die a``, ``wait 100``, ``expire``          the process ends; ms pass; ids that nobody uses are forgotten
``epoch a 32766``                            as if the id had been used that often
``committed in-0 [stable]``                  the offset of group ``g``
``restart``                                  the daemon is killed and started again
============================================ ==================================================

Producers are written as ``id:epoch``. After each command comes the row of ``x``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.metadata.group import pairs
from shmbrokerd.transactions.act import Act, Process
from transactionkit.desk import Desk

SEPARATOR = "----"
NOBODY = m.InitProducerIdReply(-1, -1)


class Stage:
    """A desk, and processes by their names."""

    def __init__(self, *settings: str) -> None:
        self.desk = Desk(*settings)
        self.producers: dict[str, m.InitProducerIdReply] = {}
        self.last: tuple[str, Any] | None = None
        self.waiting: list[tuple[str, Any]] = []
        """Requests that wait for the end of the transaction."""

    def ask(self, name: str, body: Any) -> Any:
        """The reply; None when it has to wait."""
        self.last = name, body
        reply = self.desk.ask(body, connection=f"{name}'s", process=self.process(name))
        if reply is None:
            self.waiting.append((name, body))
        if isinstance(reply, m.InitProducerIdReply | m.EndTransactionReply):
            self.producers[name] = m.InitProducerIdReply(reply.producer_id, reply.producer_epoch)
        return reply

    def process(self, name: str) -> Process:
        return Process(ord(name), 1)

    def who(self, name: str) -> tuple[str, int, int]:
        producer = self.producers.get(name, NOBODY)
        return "x", producer.producer_id, producer.producer_epoch


def replay(text: str) -> str:
    """The transcript as it comes out now; comments are kept."""
    blocks = []
    stage: Stage | None = None
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        comments = [line for line in lines if line.startswith("#")]
        command = next((line for line in lines if not line.startswith("#")), "")
        if not command:
            blocks.append(block)
            continue
        is_setting = command.startswith("daemon")
        if stage is None:
            stage = Stage(*command.split()[1:]) if is_setting else Stage()
        output = [] if is_setting else list(_run(stage, command))
        blocks.append("\n".join([*comments, command, SEPARATOR, *output]))
    if stage is not None:
        stage.desk.check_replay()
    return "\n\n".join(blocks) + "\n"


def _run(stage: Stage, command: str) -> Iterator[str]:
    verb, *words = command.split()
    said = _COMMANDS[verb](stage, words)
    if said is not None:
        yield str(said)
    yield _row_text(stage.desk)


def _asked(stage: Stage, name: str, body: Any) -> str:
    reply = stage.ask(name, body)
    if reply is None:
        return "reply: waits"
    if isinstance(reply, ErrorCode):
        return f"reply: {reply.name}"
    if isinstance(reply, m.PartitionOutcomesReply):
        return "reply: " + " ".join(outcome.code.name for outcome in reply.outcomes)
    return f"reply: {reply.producer_id}:{reply.producer_epoch}"


def _row_text(desk: Desk) -> str:
    row = desk.row()
    if row is None:
        return "x: Dead"
    partitions = "".join(f" {topic}-{number}" for topic, number in sorted(pairs(row.partitions)))
    text = f"x: {row.state} {row.producer_id}:{row.producer_epoch}{partitions}"
    markers = desk.coordinator.markers("x")
    if markers is not None:
        where = " ".join(f"{topic}-{number}" for topic, number in sorted(markers.partitions)) or "nowhere"
        kind = "commit" if markers.committed else "abort"
        text += f" | {kind} markers {markers.producer_id}:{markers.producer_epoch} to {where}"
    return text


def _fields(words: list[str]) -> dict[str, Any]:
    pairs_ = (word.partition("=") for word in words)
    return {key: int(value) if value.lstrip("-").isdigit() else value for key, _, value in pairs_}


def _place(name: str) -> tuple[str, int]:
    topic, _, number = name.rpartition("-")
    return topic, int(number)


def _init(stage: Stage, words: list[str]) -> str:
    return _asked(stage, words[0], m.InitProducerId("x", **_fields(words[1:])))


def _again(stage: Stage, words: list[str]) -> str:
    transactional_id, *identity = stage.who(words[0])
    return _asked(stage, words[0], m.InitProducerId(transactional_id, -1, *identity))


def _add(stage: Stage, words: list[str]) -> str:
    name, *places = words
    refs = [m.PartitionRef(*_place(place)) for place in places]
    return _asked(stage, name, m.AddPartitionsToTransaction(*stage.who(name), refs))


def _offset(stage: Stage, words: list[str]) -> str:
    name, place, offset, *fields = words
    item = m.OffsetToCommit(*_place(place), int(offset))
    body = m.CommitTransactionOffsets(*stage.who(name), "g", [item], **_fields(fields))
    return _asked(stage, name, body)


def _end(committed: bool) -> Callable[[Stage, list[str]], str]:
    return lambda stage, words: _asked(
        stage, words[0], m.EndTransaction(*stage.who(words[0]), committed=committed)
    )


def _repeat(stage: Stage, _words: list[str]) -> str:
    assert stage.last is not None
    return _asked(stage, *stage.last)


def _opened(stage: Stage, words: list[str]) -> str:
    place, name = words
    partition = stage.desk.state.partition(*_place(place))
    assert partition is not None
    _, producer_id, epoch = stage.who(name)
    markers = stage.desk.coordinator.opened(m.TransactionOpened(partition.slot, producer_id, epoch, 0))
    if markers is None:
        return "is known"
    return f"hangs: abort marker {markers.producer_id}:{markers.producer_epoch} to {place}"


def _die(stage: Stage, words: list[str]) -> None:
    desk = stage.desk
    desk.coordinator.disconnected(f"{words[0]}'s")
    desk.apply(desk.coordinator.process_ended(stage.process(words[0]), desk.now_ms))


def _expire(stage: Stage, _words: list[str]) -> None:
    stage.desk.apply(stage.desk.coordinator.expire(stage.desk.now_ms))


def _committed(stage: Stage, words: list[str]) -> str:
    offset = stage.desk.committed(words[0], require_stable="stable" in words[1:])
    return f"offset: {offset.name if isinstance(offset, ErrorCode) else offset}"


def _set_epoch(stage: Stage, words: list[str]) -> None:
    stage.producers[words[0]] = stage.desk.set_epoch(int(words[1]))


def _marked(stage: Stage, _words: list[str]) -> str | None:
    completion = stage.desk.coordinator.complete("x", stage.desk.now_ms)
    stage.desk.apply(Act(list(completion.records)))
    waiting, stage.waiting = stage.waiting, []
    return "\n".join(f"{name}'s {_asked(stage, name, body)}" for name, body in waiting) or None


def _restart(stage: Stage, _words: list[str]) -> None:
    stage.waiting.clear()
    stage.desk.restart()


_COMMANDS: dict[str, Callable[[Stage, list[str]], Any]] = {
    "topic": lambda stage, words: stage.desk.create(words[0], int(words[1])),
    "drop": lambda stage, words: stage.desk.delete(words[0]),
    "init": _init,
    "again": _again,
    "add": _add,
    "offset": _offset,
    "commit": _end(True),
    "abort": _end(False),
    "marked": _marked,
    "repeat": _repeat,
    "opened": _opened,
    "die": _die,
    "wait": lambda stage, words: stage.desk.pass_ms(int(words[0])),
    "expire": _expire,
    "epoch": _set_epoch,
    "committed": _committed,
    "restart": _restart,
}
