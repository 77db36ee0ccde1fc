"""In a process of its own: what is asked for stays asked for."""

import subprocess
import sys

PROGRAM = """
import os
from pathlib import Path
from shmbrokerd.broker.turns import TURN_NS, ask_for_short_turns
nice = os.nice(3)
ask_for_short_turns()
assert os.sched_getscheduler(0) == os.SCHED_OTHER
assert os.getpriority(os.PRIO_PROCESS, 0) == nice, "what somebody else chose stays"
lines = Path("/proc/self/sched").read_text().splitlines()
slices = [int(line.split()[-1]) for line in lines if line.startswith("se.slice ")]
assert slices in ([], [TURN_NS]), slices  # kernels before EEVDF, and those built without it, do not tell
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
ask_for_short_turns()
assert os.sched_getscheduler(0) == os.SCHED_BATCH
"""


def test_turns_are_short_and_nothing_else_changes() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
