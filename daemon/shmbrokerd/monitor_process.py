"""The monitor process, as the main process knows it: a child that serves HTTP and tells of groups in trouble.

It is a client like others, on the control socket, and a process of its own: parsing HTTP, writing JSON and waiting for
somebody's webhook take nothing from the event loop that members of groups depend on, and nothing that goes wrong there can end
the daemon. The main process makes the listening socket, so that a port in use is an error at start, and keeps it: while a
monitor process is started anew, connections wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.config.http_listen import HttpListen, parse_http_listen
from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbrokerd.children import Pauses, ended, how_ended, stop
from shmbrokerd.lag.watch import compiled
from shmbrokerd.logs import current_level, log
from shmbrokerd.monitor_settings import MonitorSettings, relevant_values
from shmbrokerd.parent import MAIN_PID_VARIABLE
from shmbrokerd.runtime_dir import RuntimeDir

BACKLOG = 64
SOCKET_MODE = 0o660
"""Of a Unix socket, as of the control socket: the daemon's user and group."""
STOP_GRACE_S = 0.5
"""A monitor process has nothing to bring to an end; past this it is killed."""
HTTP_PACKAGES = ("starlette", "uvicorn", "prometheus_client")
WEBHOOK_PACKAGES = ("httpx",)


class MonitorProcess:
    """``run`` keeps one running; without ``http.listen`` or a notifier there is none.

    Raises:
        BrokerError: INVALID_CONFIG for settings that cannot be, or packages that are missing; BROKER_NOT_AVAILABLE when the
            address cannot be listened on.
    """

    def __init__(self, config: StaticConfig, runtime_dir: RuntimeDir) -> None:
        self._config = config
        self._runtime_dir = runtime_dir
        self._listen = parse_http_listen(str(config.value("http.listen")))
        self._check_notifiers()
        if self._listen is not None:
            _check_packages("http.listen", HTTP_PACKAGES)
        self._socket = None if self._listen is None else _listening_socket(self._listen)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopping = False

    @property
    def is_wanted(self) -> bool:
        keys = ("lag.notify.webhook.url", "lag.notify.command")
        return self._socket is not None or any(self._config.value(key) for key in keys)

    @property
    def address(self) -> str:
        """Where HTTP is served; empty: nowhere."""
        if self._socket is None or self._listen is None:
            return ""
        if self._listen.path is not None:
            return f"unix:{self._listen.path}"
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _check_notifiers(self) -> None:
        url, command = (str(self._config.value(f"lag.notify.{key}")) for key in ("webhook.url", "command"))
        if url:
            _check_url(url)
            _check_packages("lag.notify.webhook.url", WEBHOOK_PACKAGES)
        for name in ("allowlist", "denylist"):
            compiled(self._config, f"lag.notify.group.{name}")
        try:
            shlex.split(command)
        except ValueError as error:
            raise BrokerError(
                ErrorCode.INVALID_CONFIG, f"lag.notify.command={command[:200]}: {error}"
            ) from None

    async def run(self) -> None:
        """Keep a monitor process running until cancelled, or stopped."""
        if not self.is_wanted:
            await asyncio.get_running_loop().create_future()
        pauses, loop = Pauses(), asyncio.get_running_loop()
        while True:
            started_at = loop.time()
            status = await self._run_one()
            if self._is_stopping:
                return
            pause_s = pauses.after(loop.time() - started_at)
            log.error("monitor process %s; starting another in %.1f s", status, pause_s)
            await asyncio.sleep(pause_s)

    async def _run_one(self) -> str:
        """Run one to its end, and say how it ended."""
        try:
            process = self._process = self._spawn()
        except OSError as error:
            return f"cannot be started: {error.strerror}"
        await ended(process)
        return how_ended(process)

    def _spawn(self) -> subprocess.Popen[bytes]:
        listen_fd = -1 if self._socket is None else self._socket.fileno()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "shmbrokerd.monitor"],
            stdin=subprocess.PIPE,
            pass_fds=() if listen_fd < 0 else (listen_fd,),
            process_group=0,  # Ctrl-C in a terminal is for the daemon, which then stops it
            env={**os.environ, MAIN_PID_VARIABLE: str(os.getpid())},
        )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(msgspec.json.encode(self._settings(listen_fd)))  # less than a pipe holds
        return process

    def _settings(self, listen_fd: int) -> MonitorSettings:
        return MonitorSettings(
            control_socket=str(self._runtime_dir.socket_path),
            table_path=str(self._runtime_dir.table_path),
            counters_path=str(self._runtime_dir.counters_path),
            log_level=current_level(),
            listen_fd=listen_fd,
            listen=str(self._config.value("http.listen")),
            is_unix=self._listen is not None and self._listen.path is not None,
            config=relevant_values(
                self._config, [name for name in BROKER_KEYS if name.startswith(("lag.", "http."))]
            ),
        )

    async def stop(self) -> None:
        """End the process, within a second."""
        self._is_stopping = True
        process, self._process = self._process, None
        if process is not None:
            await stop(process, STOP_GRACE_S)
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            if self._listen is not None and self._listen.path is not None:
                self._listen.path.unlink(missing_ok=True)


def _check_packages(key: str, packages: tuple[str, ...]) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise BrokerError(
            ErrorCode.INVALID_CONFIG,
            f"{key} is set, and {', '.join(missing)} cannot be imported: pip install 'shmbroker[http]'",
        )


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise BrokerError(
            ErrorCode.INVALID_CONFIG, f"lag.notify.webhook.url={url[:200]} is no http or https address"
        )


def _listening_socket(listen: HttpListen) -> socket.socket:
    family = _family(listen)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if listen.path is not None:
            _sweep(listen.path)
            sock.bind(str(listen.path))
            listen.path.chmod(SOCKET_MODE)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((listen.host, listen.port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        where = listen.path or f"{listen.host}:{listen.port}"
        raise BrokerError(
            ErrorCode.BROKER_NOT_AVAILABLE, f"cannot listen on {where} (http.listen): {error.strerror}"
        ) from error
    return sock


def _family(listen: HttpListen) -> socket.AddressFamily:
    if listen.path is not None:
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in listen.host else socket.AF_INET


def _sweep(path: Path) -> None:
    """Remove the socket that a dead daemon left. One that somebody listens on stays, and so does what is no socket: binding
    fails then, and says why."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            return
