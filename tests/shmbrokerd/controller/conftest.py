"""A controller without a daemon: state, settings, and requests that change it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest

from shmbroker.config.static import StaticConfig
from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.controller import configs, topics
from shmbrokerd.metadata.decision import Decision
from shmbrokerd.metadata.settings import Settings
from shmbrokerd.metadata.state import State


class Controller:
    """Decides and applies at once, as the daemon does once the records are stored."""

    def __init__(self, settings: Iterable[str] = ()) -> None:
        self.static = StaticConfig()
        for setting in settings:
            name, _, value = setting.partition("=")
            self.static.assign(name, value)
        self.state = State()
        self.closing: Collection[int] = ()
        self._topics_made = 0

    @property
    def settings(self) -> Settings:
        return Settings(self.static, self.state)

    def circumstances(self) -> topics.Circumstances:
        return topics.Circumstances(1000, self._new_topic_id, self.closing)

    def _new_topic_id(self) -> bytes:
        self._topics_made += 1
        return self._topics_made.to_bytes(16, "big")

    def decide(self, request: Any) -> Decision:
        match request:
            case m.CreateTopics():
                return topics.create_topics(self.settings, request, self.circumstances())
            case m.CreatePartitions():
                return topics.create_partitions(self.settings, request, self.circumstances())
            case m.DeleteTopics():
                return topics.delete_topics(self.settings, request)
            case m.AlterConfigs():
                return configs.alter_configs(self.settings, request)
        raise AssertionError(request)

    def do(self, request: Any) -> Decision:
        decision = self.decide(request)
        self.state.replay(decision.records)
        return decision

    def create(self, *names: str, partitions: int = 1, **configs: str) -> None:
        specs = [
            m.NewTopicSpec(name, partitions, configs={k.replace("_", "."): v for k, v in configs.items()})
            for name in names
        ]
        assert set(codes(self.do(m.CreateTopics(specs)))) == {ErrorCode.NO_ERROR}

    def alter(
        self, kind: str, name: str, *changes: tuple[str, str, str | None], replace: bool = False
    ) -> Any:
        """(outcome, effects) of changes such as ("SET", "segment.bytes", "2000000")."""
        resource = m.ConfigResourceSpec(kind, name)
        alteration = m.ConfigAlteration(
            resource, [m.ConfigChange(key, op, value) for op, key, value in changes]
        )
        decision = self.do(m.AlterConfigs([alteration], replace))
        (outcome,) = outcomes(decision)
        return outcome, decision.effects


def outcomes(decision: Decision) -> list[m.Outcome]:
    assert isinstance(decision.reply, m.OutcomesReply)
    return decision.reply.outcomes


def codes(decision: Decision) -> list[ErrorCode]:
    return [outcome.code for outcome in outcomes(decision)]


@pytest.fixture
def controller() -> Controller:
    return Controller()


@pytest.fixture
def make_controller() -> Callable[..., Controller]:
    return lambda *settings: Controller(settings)
