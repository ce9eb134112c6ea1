"""Regular expressions of rules: refused where one value could keep a task busy for hours."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

MOST_CHARACTERS = 1000
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
                return f"'{pattern[:at]}' repeats what {part}: make it possessive (a++, (?>…)), or write it otherwise"
            groups[-1].repeats |= _varies(text)
    return None


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
