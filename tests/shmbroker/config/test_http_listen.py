from pathlib import Path

import pytest

from shmbroker.config.http_listen import HttpListen, parse_http_listen
from shmbroker.errors import BrokerError, ErrorCode


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("", None),
        ("127.0.0.1:8000", HttpListen("127.0.0.1", 8000)),
        ("127.0.0.1:0", HttpListen("127.0.0.1", 0)),
        ("[::1]:65535", HttpListen("::1", 65535)),
        ("unix:/run/x/http.sock", HttpListen(path=Path("/run/x/http.sock"))),
    ],
)
def test_what_is_of_this_host_is_taken(text: str, listen: HttpListen | None) -> None:
    assert parse_http_listen(text) == listen


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.0.0.0:80", "this host only"),
        ("[::]:80", "this host only"),
        ("192.168.0.1:80", "this host only"),
        ("localhost:80", "this host only"),
        ("127.0.0.1", "this host only"),
        ("8000", "this host only"),
        ("127.0.0.1:", "no port"),
        ("127.0.0.1:65536", "no port"),
        ("127.0.0.1:-1", "no port"),
        ("127.0.0.1:٣", "no port"),
        ("unix:", "absolute path"),
        ("unix:http.sock", "absolute path"),
        ("unix:/" + "x" * 107, "too long"),
    ],
)
def test_anything_else_is_refused_with_what_to_use(text: str, reason: str) -> None:
    with pytest.raises(BrokerError, match=rf"{reason}.*; use 127\.0\.0\.1:PORT") as caught:
        parse_http_listen(text)
    assert caught.value.code == ErrorCode.INVALID_CONFIG
    assert text[:200] in caught.value.message
