"""The paths of Burrow's HTTP API v3, and /metrics."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.logs import LEVELS, change_level, log
from shmbrokerd.monitor import burrow
from shmbrokerd.monitor.metrics import LagCollector
from shmbrokerd.monitor.source import Source
from shmbrokerd.monitor_settings import MonitorSettings

MAX_BODY_BYTES = 4096
"""The one request that has a body holds a word."""
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_LEVEL_ALIASES = {"trace": "debug", "warn": "warning", "fatal": "error"}
Handler = Callable[[Request], Response]


def build_app(settings: MonitorSettings, source: Source) -> ASGIApp:
    registry = CollectorRegistry()
    registry.register(LagCollector(settings.text("http.cluster.name"), source))
    api = Api(settings, source, registry)
    app = Starlette(
        routes=api.routes(),
        exception_handlers={BrokerError: _daemon_error, HTTPException: _http_error, Exception: _bug},
    )
    return app if settings.is_unix else LocalOnly(app)


class LocalOnly:
    """Refuses what the browser of this host sends for a page from elsewhere: requests under another name (DNS rebinding), and
    changes that a page asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            name = _host_name(headers.get(b"host", b"").decode("latin-1"))
            is_change = scope["method"] not in ("GET", "HEAD")
            if name not in LOCAL_NAMES or (is_change and b"origin" in headers):
                refusal = PlainTextResponse("this address serves programs of this host only\n", 403)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _host_name(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


class Api:
    def __init__(self, settings: MonitorSettings, source: Source, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._source = source
        self._registry = registry
        self._cluster = settings.text("http.cluster.name")
        self._modules = burrow.modules(settings)

    def routes(self) -> list[Route]:
        cluster = "/v3/kafka/{cluster}"
        group = cluster + "/consumer/{group}"
        return [
            Route("/burrow/admin", self.admin),
            Route("/burrow/admin/ready", self.ready),
            Route("/metrics", self.metrics),
            Route("/v3/kafka", self.clusters),
            Route(cluster, self.cluster),
            Route(cluster + "/topic", self.topics),
            Route(cluster + "/topic/{topic}", self.topic),
            Route(cluster + "/topic/{topic}/consumers", self.topic_consumers),
            Route(cluster + "/consumer", self.consumers),
            Route(group, self.consumer, methods=["GET"]),
            Route(group, self.forget, methods=["DELETE"]),
            Route(group + "/status", self.status),
            Route(group + "/lag", self.lag),
            Route(group + "/topic/{topic}", self.forget, methods=["DELETE"]),
            Route("/v3/config", self.config),
            Route("/v3/config/{kind}", self.config_list),
            Route("/v3/config/{kind}/{name}", self.config_detail),
            Route("/v3/admin/loglevel", self.log_level, methods=["GET"]),
            Route("/v3/admin/loglevel", self.set_log_level, methods=["POST"]),
        ]

    # Plain functions run on threads: they wait for the daemon.

    # --- health --------------------------------------------------------------------------------------------

    def admin(self, request: Request) -> Response:
        return PlainTextResponse("GOOD")

    def ready(self, request: Request) -> Response:
        try:
            is_ready = bool(self._source.ask(m.DescribeDaemon(), m.DescribeDaemonReply).broker_pids)
        except BrokerError:
            is_ready = False
        return PlainTextResponse("READY") if is_ready else PlainTextResponse("STARTING", 503)

    def metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), media_type=content_type)

    # --- clusters and topics -------------------------------------------------------------------------------

    def clusters(self, request: Request) -> Response:
        return answer(request, "cluster list returned", clusters=[self._cluster])

    def cluster(self, request: Request) -> Response:
        self._check_cluster(request, "cluster module not found")
        return answer(request, "cluster module detail returned", module=burrow.cluster_config(self._settings))

    def topics(self, request: Request) -> Response:
        self._check_cluster(request, "cluster not found")
        names = sorted(topic.name for topic in self._source.topics())
        return answer(request, "topic list returned", topics=names)

    def topic(self, request: Request) -> Response:
        self._check_cluster(request, "cluster or topic not found")
        offsets = self._source.log_ends(request.path_params["topic"])
        if offsets is None:
            raise HTTPException(404, "cluster or topic not found")
        return answer(request, "topic offsets returned", offsets=offsets)

    def topic_consumers(self, request: Request) -> Response:
        self._check_cluster(request, "cluster not found")
        topic = request.path_params["topic"]
        names = [
            lag.group
            for lag in self._source.summaries()
            if lag.status is not m.LagStatus.NOTFOUND and any(each.topic == topic for each in lag.topics)
        ]
        return answer(request, "consumers of topic returned", consumers=names)

    # --- groups --------------------------------------------------------------------------------------------

    def consumers(self, request: Request) -> Response:
        self._check_cluster(request, "cluster not found")
        names = [lag.group for lag in self._source.summaries() if lag.status is not m.LagStatus.NOTFOUND]
        return answer(request, "consumer list returned", consumers=names)

    def consumer(self, request: Request) -> Response:
        self._check_cluster(request, "cluster or consumer not found")
        lag = self._source.group(request.path_params["group"], with_commits=True)
        if lag.status is m.LagStatus.NOTFOUND:
            raise HTTPException(404, "cluster or consumer not found")
        detail = burrow.group_detail(lag, self._settings.number("lag.window.commits"))
        return answer(request, "consumer detail returned", topics=detail)

    def status(self, request: Request) -> Response:
        return self._status(request, show_all=False)

    def lag(self, request: Request) -> Response:
        return self._status(request, show_all=True)

    def _status(self, request: Request, show_all: bool) -> Response:
        cluster, group = request.path_params["cluster"], request.path_params["group"]
        if cluster == self._cluster:
            status = burrow.group_status(cluster, self._source.group(group), show_all=show_all)
        else:
            status = burrow.not_found_status(cluster, group)
        code = 404 if status["status"] == m.LagStatus.NOTFOUND.name else 200
        return answer(request, "consumer status returned", code, status=status)

    def forget(self, request: Request) -> Response:
        if request.path_params["cluster"] == self._cluster:
            body = m.ForgetLag(request.path_params["group"], request.path_params.get("topic"))
            self._source.ask(body, m.ForgetLagReply)
        return answer(request, "consumer group removed")

    def _check_cluster(self, request: Request, message: str) -> None:
        if request.path_params["cluster"] != self._cluster:
            raise HTTPException(404, message)

    # --- configuration -------------------------------------------------------------------------------------

    def config(self, request: Request) -> Response:
        return answer(request, "main config returned", **burrow.main_config(self._settings))

    def config_list(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in self._modules:
            raise HTTPException(404, "invalid request type")
        return answer(request, "module list returned", coordinator=kind, modules=sorted(self._modules[kind]))

    def config_detail(self, request: Request) -> Response:
        kind, name = request.path_params["kind"], request.path_params["name"]
        if name not in self._modules.get(kind, {}):
            raise HTTPException(
                404, f"{kind} module not found" if kind in self._modules else "invalid request type"
            )
        return answer(request, f"{kind} module detail returned", module=self._modules[kind][name])

    def log_level(self, request: Request) -> Response:
        level = self._source.ask(m.SetLogLevel(), m.LogLevelReply).level
        return answer(request, "log level returned", level=level)

    async def set_log_level(self, request: Request) -> Response:
        """Of the daemon's main process and of this one."""
        level = await _wanted_level(request)
        await run_in_threadpool(self._source.ask, m.SetLogLevel(level), m.LogLevelReply)
        change_level(level)
        return answer(request, "set log level")


class _LogLevelBody(msgspec.Struct):
    level: str


async def _wanted_level(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"a body of more than {MAX_BODY_BYTES} bytes")
    try:
        text = msgspec.json.decode(body, type=_LogLevelBody).level.lower()
    except msgspec.MsgspecError:
        raise HTTPException(400, "could not decode message body") from None
    level = _LEVEL_ALIASES.get(text, text)
    if level not in LEVELS:
        raise HTTPException(404, "unknown log level")
    return level


# --- answers -----------------------------------------------------------------------------------------------


def answer(request: Request, message: str, code: int = 200, *, error: bool = False, **more: Any) -> Response:
    """The envelope that all answers have."""
    about = {"url": request.url.path, "host": socket.gethostname()}
    body = {"error": error, "message": message, **more, "request": about}
    return Response(msgspec.json.encode(body), code, media_type="application/json")


def _daemon_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BrokerError)
    code = 503 if error.code == ErrorCode.BROKER_NOT_AVAILABLE else 500
    return answer(request, error.message, code, error=True)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405) and error.detail in ("Not Found", "Method Not Allowed"):
        return answer(request, "invalid request type", error.status_code, error=True, result={})
    return answer(request, error.detail, error.status_code, error=True)


def _bug(request: Request, error: Exception) -> Response:
    log.error("a bug in %s", request.url.path, exc_info=error)
    return answer(request, "internal error; see the daemon's log", 500, error=True)
