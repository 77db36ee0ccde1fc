"""Tells of groups in trouble: to a webhook, and to a command. Each has a queue of its own, so that a slow one delays nobody."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import time
import uuid
from abc import ABC, abstractmethod
from typing import Any

import msgspec

from shmbroker.errors import BrokerError
from shmbroker.protocol.messages import GroupLag, LagStatus
from shmbrokerd.logs import log
from shmbrokerd.monitor import burrow
from shmbrokerd.monitor.incidents import Incidents, Notice, NoticeRules
from shmbrokerd.monitor.source import Source
from shmbrokerd.monitor_settings import MonitorSettings


class NotifierError(Exception):
    """It could not be told; the message says why."""


class Notifier(ABC):
    """A way to tell somebody: one notice at a time, in order."""

    def __init__(self, name: str, timeout_s: float, max_waiting: int) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(max_waiting)

    def put(self, document: bytes) -> None:
        """Have it told. What does not fit the queue is dropped: if it stays true, it comes again."""
        try:
            self._queue.put_nowait(document)
        except asyncio.QueueFull:
            log.error(
                "%s: a notice is dropped, %d wait already (lag.notify.queue.max)",
                self._name,
                self._queue.maxsize,
            )

    async def run(self) -> None:
        while True:
            document = await self._queue.get()
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self.tell(document)
            except TimeoutError:
                log.error("%s: given up after %g s (lag.notify.timeout.ms)", self._name, self._timeout_s)
            except NotifierError as error:
                log.error("%s: %s", self._name, error)

    @abstractmethod
    async def tell(self, document: bytes) -> None:
        """Raises NotifierError."""


class WebhookNotifier(Notifier):
    """A POST. Redirects are not followed; any answer of 2xx is good."""

    def __init__(self, url: str, timeout_s: float, max_waiting: int) -> None:
        super().__init__("lag.notify.webhook", timeout_s, max_waiting)
        self._url = url

    async def tell(self, document: bytes) -> None:
        import httpx  # with the extra `http`

        headers = {"content-type": "application/json"}
        try:
            # The status is all that counts: a body without end is not read.
            async with (
                httpx.AsyncClient(timeout=self._timeout_s) as client,
                client.stream("POST", self._url, content=document, headers=headers) as response,
            ):
                status = response.status_code
        except (httpx.HTTPError, OSError) as error:
            # Not the address: it may hold a secret, and the log may be read by more people.
            raise NotifierError(f"cannot be told: {type(error).__name__}") from None
        if not 200 <= status < 300:
            raise NotifierError(f"answered {status}")


class CommandNotifier(Notifier):
    """A program, without a shell. What it prints goes to the daemon's log. One that takes too long is killed, with all that it
    started."""

    def __init__(self, command: str, timeout_s: float, max_waiting: int) -> None:
        super().__init__("lag.notify.command", timeout_s, max_waiting)
        self._command = shlex.split(command)

    async def tell(self, document: bytes) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=2,
                start_new_session=True,
            )
        except OSError as error:
            raise NotifierError(f"{self._command[0]}: {error.strerror}") from None
        try:
            await process.communicate(document + b"\n")  # a line: `tee -a` makes a file of them
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode != 0:
            raise NotifierError(f"{self._command[0]} ended with status {process.returncode}")


class Notifiers:
    """Looks at all groups at every interval. Does nothing when nobody is to be told."""

    def __init__(self, settings: MonitorSettings, source: Source) -> None:
        self._source = source
        self._cluster = settings.text("http.cluster.name")
        self._interval_s = settings.number("lag.notify.interval.ms") / 1000
        self._incidents = Incidents(_rules(settings))
        self._notifiers = _configured(settings)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for notifier in self._notifiers:
                tasks.create_task(notifier.run())
            if not self._notifiers:
                await asyncio.get_running_loop().create_future()
            while True:
                try:
                    await self._look()
                except BrokerError as error:
                    log.warning("groups are not looked at: %s", error.message)
                await asyncio.sleep(self._interval_s)

    async def _look(self) -> None:
        summaries = await asyncio.to_thread(self._source.summaries)
        self._incidents.keep_only([lag.group for lag in summaries])
        for lag in summaries:
            notice = self._incidents.judge(lag.group, lag.status, now_ms(), str(uuid.uuid4()))
            if notice is not None:
                detail = await asyncio.to_thread(self._source.group, lag.group)
                document = msgspec.json.encode(notice_document(self._cluster, notice, lag.status, detail))
                for notifier in self._notifiers:
                    notifier.put(document)


def _rules(settings: MonitorSettings) -> NoticeRules:
    allowlist, denylist = (settings.text(f"lag.notify.group.{name}") for name in ("allowlist", "denylist"))
    return NoticeRules(
        LagStatus[settings.text("lag.notify.threshold")],
        settings.number("lag.notify.interval.ms"),
        settings.flag("lag.notify.send.close"),
        re.compile(allowlist) if allowlist else None,
        re.compile(denylist) if denylist else None,
    )


def _configured(settings: MonitorSettings) -> list[Notifier]:
    timeout_s = settings.number("lag.notify.timeout.ms") / 1000
    max_waiting = settings.number("lag.notify.queue.max")
    url, command = settings.text("lag.notify.webhook.url"), settings.text("lag.notify.command")
    notifiers: list[Notifier] = []
    if url:
        notifiers.append(WebhookNotifier(url, timeout_s, max_waiting))
    if command:
        notifiers.append(CommandNotifier(command, timeout_s, max_waiting))
    return notifiers


def notice_document(cluster: str, notice: Notice, status: LagStatus, lag: GroupLag) -> dict[str, Any]:
    """What is told. ``status``: the one that made it worth telling; ``result`` may be newer by a moment."""
    return {
        "event": "close" if notice.is_over else "open",
        "id": notice.incident_id,
        "cluster": cluster,
        "group": notice.group,
        "status": status.name,
        "severity": "OK" if notice.is_over else status.name,
        "start": notice.started_at_ms,
        "lag": lag.lag,
        "lag_ms": lag.lag_ms if lag.lag_ms >= 0 else None,
        "result": burrow.group_status(cluster, lag, show_all=False),
    }


def now_ms() -> int:
    return time.time_ns() // 1_000_000
