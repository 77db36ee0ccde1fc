"""Regular expressions over topic names, in time that is linear in the name whatever the expression.

Members send them and the daemon matches them, so nobody's expression may cost the others anything: ``re`` can be made to take
years. What RE2 takes is taken (KIP-848), short of what makes no sense for topic names (Unicode classes, word boundaries,
quoting).
"""

from __future__ import annotations

from shmbroker.patterns.automaton import Pattern, compile_pattern
from shmbroker.patterns.syntax import MAX_PATTERN_BYTES

__all__ = ["MAX_PATTERN_BYTES", "Pattern", "compile_pattern"]
