"""One connection, as those who decide know it."""

from __future__ import annotations

from collections.abc import Callable

from shmbroker.errors import BrokerError
from shmbroker.protocol.messages import ResponseBody
from shmbrokerd.server.sessions import Session


class Client:
    """``expel(reason)`` ends the conversation, ``push(body)`` says something without being asked; neither waits."""

    def __init__(
        self,
        pid: int,
        uid: int,
        connected_at_ms: int,
        expel: Callable[[BrokerError], None],
        push: Callable[[ResponseBody], None],
    ) -> None:
        self.pid = pid
        self.uid = uid
        self.connected_at_ms = connected_at_ms
        self.expel = expel
        self.push = push
        self.client_id = ""
        self.session: Session | None = None
