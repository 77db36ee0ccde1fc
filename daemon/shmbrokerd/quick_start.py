"""Imports are most of the time that a start takes. Light: this runs before them."""

from __future__ import annotations

import gc
import sys


def expect_imports() -> None:
    """Until :func:`is_up` the collector looks for no cycles: modules make many objects, all of which stay. asyncio goes
    without TLS, as in a Python that was built without it, for there are no networks here. Both together are a seventh of
    the imports."""
    gc.disable()
    sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]  # what the import system takes for "not there"


def is_up() -> None:
    """All is imported that will be used soon: the collector need not look at it again and again."""
    gc.freeze()
    gc.enable()
