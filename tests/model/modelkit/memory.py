"""What loads may see: two models of shared memory.

``TSO`` is x86-64: a store waits in its processor's buffer, first in, first out, while later loads go ahead.
``WEAK`` is looser than AArch64: stores to different words become visible in any order, and a load may have been made early,
at any time since the last fence. In both, a fence waits for the own stores and makes later loads new.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any, NamedTuple


class Model(enum.Enum):
    TSO = "tso"
    WEAK = "weak"


Buffer = tuple[tuple[int, Any], ...]
Older = tuple[tuple[int, tuple[Any, ...]], ...]


class Memory(NamedTuple):
    """``words``: what everybody sees. For each side: ``buffers``, its stores (word, value) that nobody else sees yet, oldest
    first; ``older``, what its loads may still find in a word instead of the newest value, oldest first."""

    words: tuple[Any, ...]
    buffers: tuple[Buffer, ...]
    older: tuple[Older, ...]

    @classmethod
    def of(cls, words: tuple[Any, ...], sides: int) -> Memory:
        return cls(words, ((),) * sides, ((),) * sides)

    def loads(self, side: int, word: int) -> Iterator[tuple[Any, Memory]]:
        """(value, memory after) of everything a load may do."""
        for at, value in reversed(self.buffers[side]):
            if at == word:
                yield value, self
                return
        older = dict(self.older[side])
        values = (*older.get(word, ()), self.words[word])
        for index, value in enumerate(values):
            if value not in values[:index]:
                # Never again what is older than what was seen.
                older[word] = values[index:-1]
                yield value, self if len(values) == 1 else self._with_older(side, older)

    def caught_up(self, side: int, word: int) -> Memory:
        """After a wait for news of ``word``: its old values are no longer to be had."""
        older = dict(self.older[side])
        older.pop(word, None)
        return self._with_older(side, older)

    def store(self, side: int, word: int, value: Any) -> Memory:
        return self._with_buffer(side, (*self.buffers[side], (word, value)))

    def fence(self, side: int) -> Memory:
        return self._with_older(side, {}) if self.older[side] else self

    def commits(self, side: int, model: Model) -> Iterator[tuple[int, Memory]]:
        """(word, memory after) of each store of ``side`` that may become visible next."""
        buffer = self.buffers[side]
        passed: set[int] = set()
        for index, (word, value) in enumerate(buffer):
            if word not in passed:
                yield word, self._commit(side, index, word, value, model)
            if model is Model.TSO:
                return
            passed.add(word)

    def _commit(self, side: int, index: int, word: int, value: Any, model: Model) -> Memory:
        words = (*self.words[:word], value, *self.words[word + 1 :])
        buffer = self.buffers[side]
        after = self._replace(words=words)._with_buffer(side, buffer[:index] + buffer[index + 1 :])
        if model is Model.WEAK:
            for other in range(len(self.buffers)):
                if other != side:
                    older = dict(after.older[other])
                    older[word] = (*older.get(word, ()), self.words[word])
                    after = after._with_older(other, older)
        return after

    def _with_buffer(self, side: int, buffer: Buffer) -> Memory:
        return self._replace(buffers=(*self.buffers[:side], buffer, *self.buffers[side + 1 :]))

    def _with_older(self, side: int, older: dict[int, tuple[Any, ...]]) -> Memory:
        kept = tuple(sorted(item for item in older.items() if item[1]))
        return self._replace(older=(*self.older[:side], kept, *self.older[side + 1 :]))
