"""CRC32C by the processor's instructions: the C module of the package ``crc32c``, without the package around it.

The package looks its own version up when it is imported. That brings in importlib.metadata and the parsers of e-mail: a quarter
of all the time that a broker process needed for its imports.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any

__all__ = ["crc32c"]


def _load() -> Callable[..., int]:
    package = find_spec("crc32c")  # looks for it and does not run it
    if package is not None:
        spec = PathFinder.find_spec("crc32c._crc32c", package.submodule_search_locations)
        if spec is not None and spec.loader is not None:
            module: Any = module_from_spec(spec)
            spec.loader.exec_module(module)
            return module.crc32c  # type: ignore[no-any-return]
    from crc32c import crc32c as whole

    return whole


crc32c: Callable[..., int] = _load()
"""``crc32c(data, crc=0)``: the checksum of bytes-like ``data`` behind what has the checksum ``crc``."""
