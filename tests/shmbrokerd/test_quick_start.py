"""In a process of its own: what is done at a start is done to the interpreter."""

import subprocess
import sys

PROGRAM = """
import gc
from shmbrokerd.quick_start import expect_imports, is_up
expect_imports()
assert not gc.isenabled()
import asyncio
import shmbrokerd.service
assert "_ssl" not in __import__("sys").modules
async def seven():
    return 7
assert asyncio.run(seven()) == 7
is_up()
assert gc.isenabled()
assert gc.get_freeze_count() > 10_000
"""


def test_a_start_imports_without_the_collector_and_without_tls() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
