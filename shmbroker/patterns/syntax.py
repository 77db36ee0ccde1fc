"""From the text of a regular expression to a program of a few kinds of steps (Thompson's construction)."""

from __future__ import annotations

import enum
import re
import string
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode

MAX_PATTERN_BYTES = 4096
"""Longer ones are machine-made lists of names; those belong into the list of topics."""
MAX_STEPS = 8192
"""Of a program: a step for each character, times repetitions. Bounds what one character of a name can cost."""
MAX_DEPTH = 100
"""Of parentheses; the parser recurses."""
MAX_REPEAT = 1000
"""As in RE2."""

LETTERS = frozenset(string.ascii_letters + string.digits + "._-")
"""A topic name holds nothing else, so a set of characters is a subset of this one."""
_DIGITS = frozenset(string.digits)
_WORD = frozenset(string.ascii_letters + string.digits + "_")
_CLASSES = {
    "d": _DIGITS,
    "D": LETTERS - _DIGITS,
    "w": _WORD,
    "W": LETTERS - _WORD,
    "s": frozenset[str](),
    "S": LETTERS,
}
_POSIX = {
    "alnum": _WORD - {"_"},
    "alpha": frozenset(string.ascii_letters),
    "digit": _DIGITS,
    "lower": frozenset(string.ascii_lowercase),
    "punct": frozenset("._-"),
    "upper": frozenset(string.ascii_uppercase),
    "word": _WORD,
    "xdigit": frozenset(string.hexdigits),
}
_ANCHORS = ("^", "$", r"\A", r"\z")
_CONTROL = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_FLAGS = re.compile(r"\(\?([imsU]*)(?:-[imsU]+)?([:)])|\(\?P?<[A-Za-z_]\w*>")
_COUNTS = re.compile(r"\{(\d+)(,(\d*))?\}")
_HEX = re.compile(r"x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})")


class Kind(enum.Enum):
    LETTER = enum.auto()
    """Takes a letter of ``letters``."""
    SPLIT = enum.auto()
    """Goes on at ``target`` and at ``other``."""
    JUMP = enum.auto()
    """Goes on at ``target``."""
    BEGIN = enum.auto()
    """Goes on at the beginning of the name only."""
    END = enum.auto()
    """Goes on at the end of the name only."""
    MATCH = enum.auto()


class Step(NamedTuple):
    """Goes on at the next step unless it says otherwise. Targets are relative to the step itself."""

    kind: Kind
    letters: frozenset[str] = frozenset()
    target: int = 0
    other: int = 0


Program = list[Step]


def invalid(pattern: str, problem: str) -> BrokerError:
    shown = pattern if len(pattern) <= 100 else f"{pattern[:100]}..."
    return BrokerError(
        ErrorCode.INVALID_REGULAR_EXPRESSION, f"the regular expression '{shown}' is invalid: {problem}"
    )


def parse(pattern: str) -> Program:
    """The program of ``pattern``, without MATCH at its end.

    Raises:
        BrokerError: INVALID_REGULAR_EXPRESSION, with the place and what is wrong there.
    """
    if len(pattern.encode()) > MAX_PATTERN_BYTES:
        raise invalid(pattern, f"it is longer than {MAX_PATTERN_BYTES} bytes")
    parser = _Parser(pattern)
    program = parser.alternatives()
    if parser.rest:
        raise parser.refuse("unexpected )")
    return program


class _Parser:
    """Recursive descent; each method returns the program of what it read."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0
        self._ignores_case = False

    @property
    def rest(self) -> str:
        return self._pattern[self._at :]

    def refuse(self, problem: str) -> BrokerError:
        return invalid(self._pattern, f"{problem} at position {self._at}")

    def _accept(self, token: str) -> bool:
        if self._pattern.startswith(token, self._at):
            self._at += len(token)
            return True
        return False

    def _accept_match(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        found = expression.match(self._pattern, self._at)
        if found:
            self._at = found.end()
        return found

    def _next(self) -> str:
        if self._at >= len(self._pattern):
            raise self.refuse("unexpected end")
        self._at += 1
        return self._pattern[self._at - 1]

    # --- the grammar, from the outside in ------------------------------------------------------------------

    def alternatives(self) -> Program:
        options = [self._sequence()]
        while self._accept("|"):
            options.append(self._sequence())
        program: Program = []
        remaining = sum(map(len, options)) + 2 * (len(options) - 1)
        for option in options[:-1]:
            remaining -= len(option) + 2
            program.append(Step(Kind.SPLIT, target=1, other=len(option) + 2))
            program += option
            program.append(Step(Kind.JUMP, target=remaining + 1))
        return self._checked(program + options[-1])

    def _sequence(self) -> Program:
        program: Program = []
        while self.rest and self.rest[0] not in "|)":
            program += self._repeated()
            self._checked(program)
        return program

    def _repeated(self) -> Program:
        start = self._at
        program = self._atom()
        anchor = self._pattern[start : self._at]
        if anchor in _ANCHORS and (self.rest[:1] in ("*", "+", "?") or _COUNTS.match(self.rest)):
            raise self.refuse(f"nothing to repeat: '{anchor}' is a place")  # as to librdkafka; RE2 takes it
        while self.rest:
            if self._accept("*"):
                program = _any_number(program)
            elif self._accept("+"):
                program = program + _any_number(program)
            elif self._accept("?"):
                program = _optional(program)
            elif (counts := self._accept_match(_COUNTS)) is not None:
                program = self._counted(program, counts)
            else:
                break
            self._accept("?")  # lazy: which of the matches is found makes no difference here
            self._checked(program)
            if self.rest[:1] in ("*", "+", "?"):
                raise self.refuse(f"repetition of a repetition after '{self._pattern[start : self._at]}'")
        return program

    def _counted(self, program: Program, counts: re.Match[str]) -> Program:
        least = int(counts[1])
        most = least if counts[2] is None else int(counts[3]) if counts[3] else None
        if max(least, most or 0) > MAX_REPEAT:
            raise self.refuse(f"more than {MAX_REPEAT} repetitions")
        if most is not None and most < least:
            raise self.refuse("a range of repetitions that ends before it begins")
        if len(program) * max(least, most or 0) > MAX_STEPS:
            raise self.refuse("too many repetitions")
        repeated = program * least
        return repeated + (_any_number(program) if most is None else _optional(program) * (most - least))

    def _atom(self) -> Program:
        if self.rest.startswith("("):
            return self._group()
        if self._accept("["):
            return self._letters(self._set())
        char = self._next()
        if char in "*+?":
            raise self.refuse(f"nothing to repeat before '{char}'")
        if char == "^":
            return [Step(Kind.BEGIN)]
        if char == "$":
            return [Step(Kind.END)]
        if char == ".":
            return self._letters(LETTERS)
        if char == "\\":
            return self._escape()
        return self._letters(frozenset(char))

    def _group(self) -> Program:
        if self._depth == MAX_DEPTH:
            raise self.refuse(f"more than {MAX_DEPTH} parentheses in one another")
        outer_case = self._ignores_case
        if (flags := self._accept_match(_FLAGS)) is not None:
            self._ignores_case |= "i" in (flags[1] or "")
            if flags[2] == ")":  # (?i) goes for the rest of the group that it stands in
                return []
        elif self._accept("(?"):
            raise self.refuse("look-around and the like are not supported")
        else:
            self._next()
        self._depth += 1
        program = self.alternatives()
        self._depth -= 1
        if not self._accept(")"):
            raise self.refuse("missing )")
        self._ignores_case = outer_case
        return program

    def _escape(self) -> Program:
        char = self._next()
        if char == "A":
            return [Step(Kind.BEGIN)]
        if char == "z":
            return [Step(Kind.END)]
        return self._letters(self._escaped(char))

    def _escaped(self, char: str) -> frozenset[str]:
        """What ``\\char`` stands for, within and outside of brackets."""
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _CONTROL:
            return frozenset(_CONTROL[char])
        self._at -= 1
        if (code := self._accept_match(_HEX)) is not None:
            number = int(code[1] or code[2], 16)
            return frozenset(chr(number)) if number <= 0x10FFFF else frozenset()
        if char.isalnum() and char.isascii():
            raise self.refuse(f"unsupported escape \\{char}")
        self._at += 1
        return frozenset(char)

    # --- sets of letters -----------------------------------------------------------------------------------

    def _set(self) -> frozenset[str]:
        is_negated = self._accept("^")
        letters: frozenset[str] = frozenset()
        is_first = True
        while is_first or not self._accept("]"):
            letters |= self._set_item()
            is_first = False
        if self._ignores_case:
            letters = _both_cases(letters)
        return LETTERS - letters if is_negated else letters

    def _set_item(self) -> frozenset[str]:
        if self._accept("[:"):
            name, closed, _ = self.rest.partition(":]")
            if not closed or name.lstrip("^") not in _POSIX:
                raise self.refuse("unknown class of characters")
            self._at += len(name) + 2
            return LETTERS - _POSIX[name[1:]] if name.startswith("^") else _POSIX[name]
        first = self._set_char()
        if len(first) != 1 or not self.rest.startswith("-") or self.rest.startswith("-]"):
            return first
        self._next()
        last = self._set_char()
        if len(last) != 1 or min(last) < min(first):
            raise self.refuse("a range of characters that ends before it begins")
        return frozenset(letter for letter in LETTERS if min(first) <= letter <= min(last))

    def _set_char(self) -> frozenset[str]:
        char = self._next()
        return self._escaped(self._next()) if char == "\\" else frozenset(char)

    # --- programs ------------------------------------------------------------------------------------------

    def _letters(self, letters: frozenset[str]) -> Program:
        return [Step(Kind.LETTER, _both_cases(letters) if self._ignores_case else letters)]

    def _checked(self, program: Program) -> Program:
        if len(program) > MAX_STEPS:
            raise self.refuse(f"the expression comes to more than {MAX_STEPS} steps: too large")
        return program


def _both_cases(letters: frozenset[str]) -> frozenset[str]:
    return frozenset(each for letter in letters for each in (letter.lower(), letter.upper()))


def _any_number(program: Program) -> Program:
    """Once or not, and then from the start: ``split`` in front, ``jump`` back to it at the end."""
    size = len(program)
    return [Step(Kind.SPLIT, target=1, other=size + 2), *program, Step(Kind.JUMP, target=-size - 1)]


def _optional(program: Program) -> Program:
    return [Step(Kind.SPLIT, target=1, other=len(program) + 1), *program]
