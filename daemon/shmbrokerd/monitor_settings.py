"""What the monitor process is told at its start, on its standard input: command lines can be read by everybody."""

from __future__ import annotations

import msgspec

from shmbroker.config.static import StaticConfig


class MonitorSettings(msgspec.Struct):
    control_socket: str
    table_path: str
    counters_path: str
    log_level: str
    listen_fd: int
    """A socket that listens; -1: HTTP is off."""
    listen: str
    """``http.listen``, for people."""
    is_unix: bool
    config: dict[str, str | int | float | bool]
    """Values of the keys ``lag.*`` and ``http.*``."""

    def number(self, name: str) -> int:
        return int(self.config[name])

    def text(self, name: str) -> str:
        return str(self.config[name])

    def flag(self, name: str) -> bool:
        return bool(self.config[name])


def relevant_values(config: StaticConfig, names: list[str]) -> dict[str, str | int | float | bool]:
    return {name: config.value(name) for name in names}
