"""The import list proves that what decides only decides."""

import ast
import sys
from pathlib import Path

import pytest

import shmbrokerd

FOLDER = Path(shmbrokerd.__file__).parent
ROOMS = ["metadata", "controller", "groups", "transactions", "lag"]
MODULES = [path for room in ROOMS for path in sorted((FOLDER / room).rglob("*.py"))]
ALLOWED_STDLIB = {
    "__future__",
    "array",
    "base64",
    "bisect",
    "collections",
    "enum",
    "functools",
    "itertools",
    "re",
    "string",
    "typing",
}
ALLOWED_OWN = ("shmbroker.", *(f"shmbrokerd.{room}." for room in ROOMS))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_clock_file_socket_or_thread_is_imported(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            imported.add(node.module)
    impure = {
        name
        for name in imported
        if name.split(".")[0] in sys.stdlib_module_names and name.split(".")[0] not in ALLOWED_STDLIB
    }
    others = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names}
    assert impure == set()
    assert {name for name in others if not f"{name}.".startswith(ALLOWED_OWN)} <= {"msgspec"}
