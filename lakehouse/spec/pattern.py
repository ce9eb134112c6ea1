"""Regular expressions of rules: refused where one value could keep a task busy for hours."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache

MOST_CHARACTERS = 1000
MOST_WAYS = 10_000_000
"""So many ways of matching a text of ``LONGEST`` characters may be tried: a second or so for one value."""
LONGEST = 200
DEEPEST = 20
"""Groups within each other."""
MOST_CALLS = 200
"""So deep Java may call itself; 5,000 characters of some patterns overflow its stack, which ends the task."""
_LOOKS = ("(?=", "(?!", "(?<=", "(?<!")
_OF_TWO_LENGTHS = re.compile(r"^\.$|\[\^|&&|\\[DHNPRSVWXkp1-9]|[^\u0000-\uffff]")
"""What matches characters that are one of Java's and such that are two, or what was matched before."""
_FEW = 4
"""A part that can be cut in several ways may come so often: then the ways are still few."""

_TOKEN = re.compile(
    r"""
      \\Q.*?(?:\\E|$)
    | \\.
    | (?P<flags>\(\?[a-zA-Z-]+\))
    | (?P<open>\((?:\?(?:[:=!>]|<[=!]|<[a-zA-Z][a-zA-Z0-9]*>|[a-zA-Z-]+:))?)
    | (?P<close>\))
    | (?P<either>\|)
    | (?P<repeat>(?:[*+?]|\{\d+(?:,\d*)?\})[+?]?)
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_CLASS_END = re.compile(r"\\.|[\[\]]", re.DOTALL)


@dataclass
class _Group:
    """A group that is being read: whether it holds a repetition, and whether it holds a choice."""

    is_atomic: bool = False
    repeats: bool = False
    chooses: bool = False

    @property
    def is_cut_in_several_ways(self) -> bool:
        return (self.repeats or self.chooses) and not self.is_atomic


def why_refused(pattern: str) -> str | None:
    """Why Java's regular expressions may not be asked with it; None where they may.

    A repetition of what repeats or chooses, such as ``(a+)+b`` or ``(a|aa)+b``, tries all ways to cut a text into
    pieces, which are more than a billion for thirty characters. Possessive ones (``a++``) and atomic groups
    (``(?>…)``) try one.
    """
    if len(pattern) > MOST_CHARACTERS:
        return f"a pattern has at most {MOST_CHARACTERS:,} characters"
    ways = _Ways(tokens_of(pattern))
    if ways.deepest > DEEPEST:
        return f"groups within each other deeper than {DEEPEST}"
    return _nested(pattern) or _too_deep(pattern) or ways.why_refused()


def _nested(pattern: str) -> str | None:
    """Which part repeats what can be cut in several ways.

    Where the ways are few, Java still calls itself for each repetition, but not for one that is possessive.
    """
    groups, closed, at = [_Group()], _Group(), 0
    while at < len(pattern):
        text, kind, at = _token(pattern, at)
        last, closed = closed, _Group()
        if kind == "open":
            groups.append(_Group(is_atomic=text == "(?>"))
        elif kind == "close" and len(groups) > 1:
            closed = groups.pop()
            groups[-1].repeats |= closed.repeats and not closed.is_atomic
        elif kind == "either":
            groups[-1].chooses = True
        elif kind == "repeat":
            if _most(text) > _FEW and last.is_cut_in_several_ways:
                part = "repeats" if last.repeats else "chooses"
                mend = r"make the last repetition possessive, as in ^\d+(,\d+)*+$, or write it otherwise"
                return f"'{pattern[:at]}' repeats what {part}: {mend}"
            groups[-1].repeats |= _varies(text)
    return None


@dataclass
class _Length:
    """A group that is being read: whether all that it matches has one length, and how deep Java calls itself in it."""

    looks: bool = False
    varies: bool = False
    parts: int = 0
    goes_on: bool = False
    calls: float = 0

    @property
    def is_repeated_by_calls(self) -> bool:
        """Whether Java calls itself for each repetition; one part that goes on to its end leaves nothing to repeat."""
        return self.varies and not (self.parts == 1 and self.goes_on)


def _too_deep(pattern: str) -> str | None:
    """Which part Java repeats by calls of itself, one within the other, until its stack is full.

    So it does for a group of which one match may be longer than another, as in ``(a++b?)+``; in ``(.x)+`` those of
    characters that are two of Java's are.
    """
    groups, closed, at, kind = [_Length()], _Length(), 0, None
    while at < len(pattern):
        was_repeat = kind == "repeat"
        text, kind, at = _token(pattern, at)
        last, closed = closed, _Length()
        if kind == "open":
            groups.append(_Length(looks=text in _LOOKS))
        elif kind == "close" and len(groups) > 1:
            closed = groups.pop()
            groups[-1].varies |= closed.varies and not closed.looks
            groups[-1].calls += closed.calls
            groups[-1].parts, groups[-1].goes_on = groups[-1].parts + 1, closed.parts == 1 and closed.goes_on
        elif kind == "repeat":
            more = _calls(last, text)
            if more > MOST_CALLS:
                mend = "make the last repetition possessive, as in (a++b?)++"
                return f"'{pattern[:at]}' repeats what has several lengths: {mend}"
            groups[-1].calls += more - last.calls
            groups[-1].varies |= not re.fullmatch(r"\{\d+\}[+?]?", text)
            # what is repeated twice is not all taken at once, nor is what is lazy
            groups[-1].goes_on = _is_unbounded(text) and not was_repeat
        elif kind == "either":
            groups[-1].varies, groups[-1].parts = True, groups[-1].parts + 1
        elif kind is None:
            groups[-1].varies |= _OF_TWO_LENGTHS.search(text) is not None
            groups[-1].parts, groups[-1].goes_on = groups[-1].parts + 1, False
    return None


def _calls(group: _Length, repeat: str) -> float:
    """How deep Java calls itself to repeat a group: one that is possessive it tries again and again, and forgets."""
    most = _most(repeat)
    return group.calls if most <= 1 or not group.is_repeated_by_calls else most * max(group.calls, 1)


def _is_unbounded(repeat: str) -> bool:
    return not repeat[1:].endswith("?") and (repeat[0] in "*+" or repeat.rstrip("+").endswith(",}"))


def tokens_of(pattern: str) -> list[tuple[str, str | None]]:
    """The parts of a pattern, each with its kind."""
    found, at = [], 0
    while at < len(pattern):
        text, kind, at = _token(pattern, at)
        found.append((text, kind))
    return found


_ALPHABET = frozenset(map(chr, range(128))) | {"é", "中"}
"""Characters that stand for all: two parts of a pattern that share none of them cannot take the same text."""


@cache
def _chars(token: str, kind: str | None, *, any_case: bool) -> frozenset[str]:
    """Which characters a part may begin with: all where that cannot be told."""
    if token in ("$", "\\z", "\\Z"):
        return frozenset()
    if kind is not None or "&&" in token or re.match(r"\\[pPkQRX0-9cGux]", token):
        return _ALPHABET
    try:
        known = re.compile(token, re.DOTALL)
    except re.error:
        return _ALPHABET
    found = {one for one in _ALPHABET if known.fullmatch(one)}
    return frozenset(found | {one.swapcase() for one in found} if any_case else found)


_NO_WIDTH = frozenset({"^", "\\b", "\\B", "\\A"})


@dataclass(frozen=True)
class _Part:
    """A part of a pattern: what it may begin with, whether it may be empty, and what it is made of.

    ``choices`` are the alternatives of a group, each a sequence; none of a character.
    """

    first: frozenset[str]
    empty: bool
    choices: tuple[tuple[_Part, ...], ...] = ()
    least: int = 1
    most: float = 1
    possessive: bool = False
    atomic: bool = False


class _Ways:
    """In how many ways a pattern may be tried on a text that does not fit in the end, at most."""

    def __init__(self, tokens: list[tuple[str, str | None]]) -> None:
        self._tokens, self._at = tokens, 0
        # (?i), also as a part of a group
        self._any_case = any(re.match(r"\(\?[a-zA-Z]*i", text) for text, _ in tokens)
        depth, self.deepest = 0, 0
        for _, kind in tokens:
            depth += (kind == "open") - (kind == "close")
            self.deepest = max(self.deepest, depth)

    def why_refused(self) -> str | None:
        """Why they are too many."""
        choices: list[tuple[_Part, ...]] = []
        while self._at < len(self._tokens):
            choices += self._choices()
            # a parenthesis that closes nothing is for the engine to refuse
            self._at += 1
        ways = _of_choices(tuple(choices), frozenset())
        if ways <= MOST_WAYS:
            return None
        return "it can be tried in too many ways on one text: make parts possessive (a++, (?>…)), or let them differ"

    def _choices(self) -> list[tuple[_Part, ...]]:
        """The alternatives up to the end of a group."""
        choices: list[list[_Part]] = [[]]
        while self._at < len(self._tokens):
            text, kind = self._tokens[self._at]
            if kind == "close":
                break
            self._at += 1
            if kind == "either":
                choices.append([])
            elif kind == "repeat" and choices[-1]:
                choices[-1][-1] = _repeated(choices[-1][-1], text)
            elif kind == "open":
                choices[-1].append(self._group(text))
            elif kind != "flags":
                choices[-1].append(_Part(_chars(text, kind, any_case=self._any_case), text in _NO_WIDTH))
        return [tuple(one) for one in choices]

    def _group(self, text: str) -> _Part:
        choices = tuple(self._choices())
        self._at += 1
        looks = text in _LOOKS
        first = _ALPHABET if looks else frozenset[str]().union(*(_first(one) for one in choices))
        atomic = looks or text == "(?>"
        return _Part(first, looks or any(_is_empty(one) for one in choices), choices, atomic=atomic)


def _repeated(part: _Part, repeat: str) -> _Part:
    possessive = len(repeat) > 1 and repeat.endswith("+")
    if repeat.startswith("{"):
        numbers = repeat[1 : repeat.index("}")].split(",")
        least = int(numbers[0])
        most = math.inf if numbers[-1] == "" else int(numbers[-1])
    else:
        least, most = (1 if repeat.startswith("+") else 0), (1 if repeat.startswith("?") else math.inf)
    choices = ((part,),) if part.atomic or part.most != 1 else part.choices
    return _Part(part.first, part.empty or least == 0, choices, least, most, possessive)


def _first(sequence: tuple[_Part, ...], after: frozenset[str] = frozenset()) -> frozenset[str]:
    """What a sequence may begin with, or what follows it where it is empty."""
    found: frozenset[str] = frozenset()
    for part in sequence:
        found |= frozenset() if part.first == _ALPHABET and part.empty and not part.choices else part.first
        if not part.empty:
            return found
    return found | after


def _is_empty(sequence: tuple[_Part, ...]) -> bool:
    return all(part.empty for part in sequence)


def _of_choices(choices: tuple[tuple[_Part, ...], ...], after: frozenset[str]) -> float:
    """The ways of the alternatives that may take the same text."""
    firsts = [_first(one, after) for one in choices]
    alike = max((sum(char in first for first in firsts) for char in _ALPHABET), default=1)
    return max(alike, 1) * max((_of_sequence(one, after) for one in choices), default=1)


def _of_sequence(sequence: tuple[_Part, ...], after: frozenset[str]) -> float:
    ways: float = 1
    for part in reversed(sequence):
        ways *= _of_part(part, after)
        after = _first((part,), after)
    return ways


def _of_part(part: _Part, after: frozenset[str]) -> float:
    most = min(part.most, LONGEST)
    # nothing goes back into what is atomic once it is left
    closed = part.atomic or (part.possessive and part.least <= 1)
    follows = frozenset() if closed else after | part.first if most > 1 else after
    within = _of_choices(part.choices, follows) if part.choices else 1
    # a number of this size has no place in a float
    ways = within**most if within > 1 and most * math.log10(within) < 100 else math.inf if within > 1 else 1
    if part.possessive or part.least == part.most or not part.first & after:
        return ways
    return ways * (most - min(part.least, most) + 1)


def _token(pattern: str, at: int) -> tuple[str, str | None, int]:
    """What comes next, of which kind, and where it ends."""
    found = _TOKEN.match(pattern, at)
    if pattern[at] == "[" or found is None:
        end = _after_class(pattern, at)
        return pattern[at:end], None, end
    return found[0], found.lastgroup, found.end()


def _most(repeat: str) -> float:
    """How often a part may come; once of one that is possessive, which is cut in one way."""
    if len(repeat) > 1 and repeat.endswith("+"):
        return 1
    if repeat.startswith("{"):
        numbers = repeat[1 : repeat.index("}")].split(",")
        return int(numbers[-1]) if numbers[-1] else math.inf
    return 1 if repeat.startswith("?") else math.inf


def _varies(repeat: str) -> bool:
    """Whether a part may come more or less often: one of a fixed number cannot, nor one that is possessive."""
    is_fixed = repeat.startswith("{") and "," not in repeat
    return not is_fixed and _most(repeat) > 1


def _after_class(pattern: str, at: int) -> int:
    """Where a class of characters ends; Java's may hold others."""
    at += 1
    at += pattern[at : at + 1] == "^"
    # a bracket that comes first stands for itself
    at += pattern[at : at + 1] == "]"
    depth = 1
    while depth:
        found = _CLASS_END.search(pattern, at)
        if found is None:
            return len(pattern)
        depth += {"[": 1, "]": -1}.get(found[0], 0)
        at = found.end()
    return at
