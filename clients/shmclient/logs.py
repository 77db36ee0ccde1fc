"""Where the log lines of a client go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

Log: TypeAlias = Callable[..., None]
"""``log(level, text, *args)``, with a level of `logging`."""


def client_log(logger: Any) -> Log:
    """The ``log`` method of the ``logger`` that was configured; without one, that of the logger ``shmclient``."""
    log: Log | None = getattr(logger, "log", None)
    return logging.getLogger("shmclient").log if log is None else log
