"""The daemon's log: one line per event on stderr, with priorities instead of timestamps under journald."""

from __future__ import annotations

import logging
import os
import sys

from shmbroker.errors import BrokerError, ErrorCode

LEVELS = ("debug", "info", "warning", "error")

log = logging.getLogger("shmbrokerd")

_SYSLOG_PRIORITY = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


class _OneLineFormatter(logging.Formatter):
    """Keeps an event on one line, so that a client cannot forge log lines with a name it chose."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "\\r").replace("\n", "\\n")


class _JournalFormatter(_OneLineFormatter):
    """journald stamps the time itself and reads ``<6>`` as the priority (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_SYSLOG_PRIORITY.get(record.levelno, 6)}>{super().format(record)}"


def is_journal(fd: int) -> bool:
    """True when ``fd`` is the stream that systemd connected to the journal (systemd.exec(5),
    $JOURNAL_STREAM)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(fd)
        return (int(device), int(inode)) == (status.st_dev, status.st_ino)
    except (ValueError, OSError):
        return False


def set_up_logging(level: str) -> None:
    """``level``: one of LEVELS."""
    handler = logging.StreamHandler(sys.stderr)
    if is_journal(2):
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(
            _OneLineFormatter("%(asctime)s.%(msecs)03d %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
        )
    log.handlers[:] = [handler]
    log.setLevel(level.upper())
    log.propagate = False


def current_level() -> str:
    return logging.getLevelName(log.level).lower()


def change_level(level: str) -> str:
    """Log from ``level`` on, and return it.

    Raises:
        BrokerError: INVALID_REQUEST when it is none of LEVELS.
    """
    if level not in LEVELS:
        raise BrokerError(
            ErrorCode.INVALID_REQUEST, f"{level[:100]!r} is no log level: use {', '.join(LEVELS)}"
        )
    log.setLevel(level.upper())
    log.log(log.level, "logging from %s on", level)
    return level
