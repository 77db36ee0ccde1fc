"""The listening socket and one task for each connection. A client can delay or break its own connection
only."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from dataclasses import dataclass

from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbrokerd.logs import log
from shmbrokerd.runtime_dir import PeerCredentials, RuntimeDir, peer_credentials
from shmbrokerd.server.adapter import RequestReader
from shmbrokerd.server.client import Client
from shmbrokerd.server.conductor import Conductor
from shmbrokerd.server.pipeline import PIPELINED, Pipeline
from shmbrokerd.server.proxy import ClientProxy

BACKLOG = 128
SOCKET_MODE = 0o660
"""The daemon's user and group may connect; an administrator widens or narrows that by the group of the
runtime dir."""
OUT_OF_DESCRIPTORS_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    max_connections: int
    max_frame_bytes: int
    hello_timeout_s: float
    send_timeout_s: float
    max_pending_pushes: int

    @classmethod
    def from_config(cls, config: StaticConfig) -> ConnectionLimits:
        return cls(
            config.number("max.connections"),
            config.number("socket.request.max.bytes"),
            config.number("connections.hello.timeout.ms") / 1000,
            config.number("connections.send.timeout.ms") / 1000,
            config.number("connections.push.max.pending"),
        )


class Listener:
    def __init__(self, runtime_dir: RuntimeDir, conductor: Conductor, limits: ConnectionLimits) -> None:
        self._conductor = conductor
        self._limits = limits
        self._connections: dict[asyncio.Task[None], socket.socket] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind(str(runtime_dir.socket_path))
            runtime_dir.socket_path.chmod(SOCKET_MODE)
            self._socket.listen(BACKLOG)
        except OSError as error:
            self._socket.close()
            raise BrokerError(
                ErrorCode.BROKER_NOT_AVAILABLE,
                f"cannot listen on {runtime_dir.socket_path}: {error.strerror}",
            ) from error

    async def accept_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._socket)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.debug("accept: %s", error)  # the client left while it queued
                    continue
                log.error("cannot accept a client: %s (raise LimitNOFILE)", error.strerror)
                await asyncio.sleep(OUT_OF_DESCRIPTORS_PAUSE_S)
                continue
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        peer = peer_credentials(sock)
        if len(self._connections) >= self._limits.max_connections:
            error = BrokerError(
                ErrorCode.POLICY_VIOLATION,
                f"{self._limits.max_connections} clients are connected, which is the limit (max.connections)",
            )
            log.warning("refused pid=%d uid=%d: %s", peer.pid, peer.uid, error.message)
            self._proxy(sock).refuse(error)
            sock.close()
            return
        task = asyncio.create_task(self._serve(sock, peer))
        self._connections[task] = sock
        task.add_done_callback(self._forget)

    def _proxy(self, sock: socket.socket) -> ClientProxy:
        return ClientProxy(sock, self._limits.send_timeout_s, self._limits.max_pending_pushes)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task).close()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a connection ended with a bug in the daemon", exc_info=error)

    async def _serve(self, sock: socket.socket, peer: PeerCredentials) -> None:
        proxy = self._proxy(sock)
        reader = RequestReader(sock, self._limits.max_frame_bytes)
        client = Client(
            peer.pid,
            peer.uid,
            self._conductor.now_ms(),
            lambda reason: _expel(sock, proxy, reason),
            proxy.push,
        )
        self._conductor.clients.add(client)
        try:
            await self._converse(sock, reader, proxy, client)
        except BrokerError as error:
            log.warning("closed pid=%d uid=%d client.id=%s: %s", peer.pid, peer.uid, client.client_id, error)
            proxy.refuse(error)
        except TimeoutError:
            log.warning("closed pid=%d uid=%d: it left answers unread", peer.pid, peer.uid)
        except OSError as error:
            log.debug("lost pid=%d: %s", peer.pid, error)
        finally:
            proxy.close()
            self._conductor.clients.discard(client)
            await self._conductor.detach(client)

    async def _converse(
        self, sock: socket.socket, reader: RequestReader, proxy: ClientProxy, client: Client
    ) -> None:
        first = await reader.hello(self._limits.hello_timeout_s)
        if first is None:
            return
        await proxy.reply(first.correlation_id, self._conductor.greet(client, first.body))
        log.debug("client pid=%d client.id=%s", client.pid, client.client_id)
        pipeline = Pipeline(proxy, on_failure=lambda: _shut(sock))
        try:
            async for request in reader:
                if isinstance(request.body, PIPELINED):
                    await pipeline.add(request.correlation_id, self._conductor.handle(client, request.body))
                    continue
                await pipeline.settled()
                try:
                    answer = await self._conductor.handle(client, request.body)
                except BrokerError as error:
                    await proxy.fail(request.correlation_id, error)
                else:
                    await proxy.reply(request.correlation_id, answer.body, answer.fds)
            await pipeline.settled()
        finally:
            pipeline.close()

    def close(self) -> None:
        """Stop listening; connections go on."""
        self._socket.close()

    async def close_connections(self) -> None:
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _expel(sock: socket.socket, proxy: ClientProxy, reason: BrokerError) -> None:
    """End the conversation from our side: the connection's task reads an end of file and cleans up."""
    proxy.refuse(reason)
    _shut(sock)


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
