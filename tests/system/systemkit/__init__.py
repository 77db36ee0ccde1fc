"""What the tests of the whole share: children, conditions, raw clients, traces of what is left behind."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).parents[1] / "programs")
)  # what its programs write down, its checkers read
