"""Which of the batches that were found make up the log. Pure.

Offsets of a log have no gaps, unless compaction made them: each batch begins where the one before it ends. Where two batches
claim the same offset, one of them was never committed, or is a copy: the log is the chain that goes on furthest.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence


def longest_chain(bases: Sequence[int], ends: Sequence[int], start: int) -> array[int]:
    """Indexes of the batches, each from ``bases[i]`` up to ``ends[i]``, that go on from offset ``start`` without a gap and
    furthest. Of several with the same ends the last one."""
    order = sorted(range(len(bases)), key=lambda i: (bases[i], i))
    starts = array("q", (bases[i] for i in order))
    reach = array("q", bytes(8 * len(order)))
    """How far one comes from each batch in ``order`` on, or from one that follows it there at the same base."""
    best = array("q", bytes(8 * len(order)))
    for at in range(len(order) - 1, -1, -1):
        i = order[at]
        following = _index(starts, ends[i])
        own = ends[i] if following < 0 else max(ends[i], reach[following])
        is_best = at + 1 == len(order) or starts[at + 1] != starts[at] or own > reach[at + 1]
        reach[at], best[at] = (own, i) if is_best else (reach[at + 1], best[at + 1])
    chain = array("q")
    at = _index(starts, start)
    while at >= 0:
        chain.append(best[at])
        at = _index(starts, ends[best[at]])
    return chain


def _index(starts: array[int], offset: int) -> int:
    at = bisect_left(starts, offset)
    return at if at < len(starts) and starts[at] == offset else -1


def chain_with_gaps(bases: Sequence[int], ends: Sequence[int], start: int, end: int) -> array[int]:
    """As :func:`longest_chain`, but over gaps, from ``start`` up to ``end``: after each gap the log goes on with the batch that
    begins first, and of several there with the one that comes furthest."""
    inside = [i for i in range(len(bases)) if start <= bases[i] and ends[i] <= end]
    inside_bases, inside_ends = [bases[i] for i in inside], [ends[i] for i in inside]
    firsts = sorted(set(inside_bases))
    chain = array("q")
    while (at := bisect_left(firsts, start)) < len(firsts):
        part = longest_chain(inside_bases, inside_ends, firsts[at])
        chain.extend(inside[i] for i in part)
        start = inside_ends[part[-1]]
    return chain
