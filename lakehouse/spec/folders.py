"""What a file's place says of it: values in the names of its folders and in its own, and when it is whole."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from lakehouse.spec.pattern import why_refused

_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?P<\w+>|\(\?:|\(\?|[()|*+?]|\{\d*,?\d*\}|.", re.DOTALL)
_MOST_REPEATS = 4
"""Parts of a pattern of no fixed length: the time that it takes grows with the power of their number."""


def _sound(pattern: str) -> str:
    """The pattern, once no name of a file can keep it busy for long.

    Raises:
        ValueError: it is no regular expression, names no group, or may take very long.
    """
    try:
        groups = re.compile(pattern).groupindex
    except (re.error, RecursionError, OverflowError) as error:
        message = f"not a regular expression: {error}"
        raise ValueError(message) from None
    if not groups:
        message = "names no part: write such as orders_(?P<country>[A-Z]{2})\\.csv"
        raise ValueError(message)
    _hold_repeats(_PART.findall(pattern))
    # named groups are written otherwise in Java, for whose patterns the check is
    if why := why_refused(pattern.replace("(?P<", "(?<")):
        raise ValueError(why)
    return pattern


def _hold_repeats(parts: list[str]) -> None:
    repeats, within = 0, [False]
    for before, (part, following) in zip(["", *parts], pairwise([*parts, ""]), strict=False):
        if part == "(?" or re.fullmatch(r"\\[1-9]", part):
            message = "groups are (…), (?:…) and (?P<name>…), without look-around, flags and back references"
            raise ValueError(message)
        if part.startswith("("):
            within.append(False)
        elif part == ")":
            inside = within.pop()
            if inside and _is_repeat(following):
                message = "a repeated group holds a repeat or alternatives: a name could keep it busy for hours"
                raise ValueError(message)
            within[-1] |= inside
        elif part == "|" or _varies(part, before):
            within[-1] = True
            repeats += part != "|"
    if repeats > _MOST_REPEATS:
        message = f"{repeats} repeats of no fixed length; at most {_MOST_REPEATS}"
        raise ValueError(message)


def _is_repeat(part: str) -> bool:
    return part in ("*", "+") or bool(re.fullmatch(r"\{\d*,?\d*\}", part))


def _varies(part: str, before: str) -> bool:
    """Whether it stands for more than one number of times; behind a repeat, ? only says which are tried first."""
    if part == "?":
        return not _is_repeat(before)
    return _is_repeat(part) and (part in ("*", "+") or "," in part)


NamePattern = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_sound)]
"""A regular expression over a whole file name, whose named groups are columns."""

ControlEnding = Annotated[str, StringConstraints(pattern=r"^\.[A-Za-z0-9][A-Za-z0-9_.-]{0,30}$")]
"""What the names of control files end with."""

Marker = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}$")]
"""The name of a file that says that a folder is whole."""
