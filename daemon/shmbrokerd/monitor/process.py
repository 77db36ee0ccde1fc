"""The monitor process around its parts: the HTTP server and the notifiers, in one event loop."""

from __future__ import annotations

import asyncio
import signal
import socket

from shmbrokerd.monitor.notifiers import Notifiers
from shmbrokerd.monitor.source import Source
from shmbrokerd.monitor_settings import MonitorSettings

KEEP_ALIVE_S = 15
"""A scraper that comes every ten seconds keeps its connection."""


def run(settings: MonitorSettings) -> None:
    """Until SIGTERM, or the end of the main process."""
    asyncio.run(_run(settings))


async def _run(settings: MonitorSettings) -> None:
    source = Source(settings)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(stop.wait()),
        asyncio.create_task(Notifiers(settings, source).run()),
    ]
    if settings.listen_fd >= 0:
        tasks.append(asyncio.create_task(_serve(settings, source)))
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _serve(settings: MonitorSettings, source: Source) -> None:
    import uvicorn  # with the extra `http`; notifiers that run a command do without

    from shmbrokerd.monitor.app import build_app

    config = uvicorn.Config(
        build_app(settings, source),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=settings.number("http.max.connections"),
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=0,
    )
    await uvicorn.Server(config).serve([socket.socket(fileno=settings.listen_fd)])
