"""Patterns of dates and times, in Spark's letters: which are taken, and the shape of the text that each reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

EPOCHS = {"epoch_seconds": 6, "epoch_millis": 3, "epoch_micros": 0}
"""Words in the place of a pattern: time since 1970 in UTC, with so many digits after the point at most."""

_TOKEN = re.compile(r"'(?P<quoted>(?:[^']|'')*)'|(?P<letters>([A-Za-z])\3*)|(?P<other>.)", re.DOTALL)
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_SHORT_MONTHS = "|".join(month[:3] for month in _MONTHS.split("|"))
_FIELDS = {
    "yyyy": ("year", r"(?!0000)\d{4}"),
    "yy": ("year", r"\d{2}"),
    "MMMM": ("month", f"(?i:{_MONTHS})"),
    "MMM": ("month", f"(?i:{_SHORT_MONTHS})"),
    "MM": ("month", r"\d{2}"),
    "M": ("month", r"\d{1,2}"),
    "dd": ("day", r"\d{2}"),
    "d": ("day", r"\d{1,2}"),
    "HH": ("hour", r"\d{2}"),
    "H": ("hour", r"\d{1,2}"),
    "hh": ("hour of twelve", r"\d{2}"),
    "h": ("hour of twelve", r"\d{1,2}"),
    "mm": ("minute", r"\d{2}"),
    "ss": ("second", r"\d{2}"),
    "a": ("am or pm", "(?i:am|pm)"),
    "X": ("offset", r"(?:Z|[+-]\d{2}(?:\d{2})?)"),
    "XX": ("offset", r"(?:Z|[+-]\d{4})"),
    "XXX": ("offset", r"(?:Z|[+-]\d{2}:\d{2})"),
    "Z": ("offset", r"[+-]\d{4}"),
}
_NEEDS = {
    "hour": ("minute",),
    "hour of twelve": ("minute", "am or pm"),
    "am or pm": ("hour of twelve",),
    "second": ("minute",),
    "fraction": ("second",),
    "offset": ("minute",),
}
_ANY_LENGTH = ("M", "d", "H", "h")


@dataclass(frozen=True)
class TimePattern:
    """One pattern: as Spark's parser takes it, and the regular expression of the texts that it reads, whole.

    ``split``: of texts in which the fraction follows the second directly, an expression with two groups, before and
    after a point that the parser needs there.
    """

    spark: str
    shape: str
    units: frozenset[str]
    short_year: bool
    split: str | None = None

    @property
    def has_offset(self) -> bool:
        """Whether the text says how far it is from UTC."""
        return "offset" in self.units


def time_pattern(text: str) -> TimePattern:
    """The pattern that a text is.

    Raises:
        ValueError: it holds a letter that is not taken, lacks a part of a date, or could be read in two ways.
    """
    tokens = [_token(found) for found in _TOKEN.finditer(text)]
    units = [unit for unit, *_ in tokens if unit]
    _whole(text, units)
    _readable(text, tokens)
    shapes = [shape for _, _, shape in tokens]
    written = [letters for _, letters, _ in tokens]
    split = None
    at = next((index for index, (unit, *_) in enumerate(tokens) if unit == "fraction"), 0)
    if at and tokens[at - 1][0]:
        split = f"^({''.join(shapes[:at])})({''.join(shapes[at:])})$"
        written.insert(at, ".")
    return TimePattern("".join(written), f"^{''.join(shapes)}$", frozenset(units), "yy" in written, split)


def _token(found: re.Match[str]) -> tuple[str, str, str]:
    """What a part of a pattern is of (nothing: it stands for itself), how Spark writes it, and its shape."""
    if (quoted := found["quoted"]) is not None:
        return "", found[0], re.escape(quoted.replace("''", "'") or "'")
    letters = found["letters"]
    if letters is None:
        if found[0] in "[]{}#'" or found[0].isdigit():
            message = f"'{found[0]}' cannot stand in a pattern: quote it as '{found[0]}', or give several patterns"
            raise ValueError(message)
        return "", found[0], re.escape(found[0])
    if set(letters) == {"S"} and len(letters) <= 9:
        # beyond the microsecond only zeros, as there is no place for others
        more = f"0{{0,{len(letters) - 6}}}" if len(letters) > 6 else ""
        return "fraction", letters, rf"\d{{1,{min(len(letters), 6)}}}{more}"
    if letters not in _FIELDS:
        message = f"'{letters}' is not a part of a pattern: expected {', '.join(_FIELDS)}, S to SSSSSSSSS, or 'text'"
        raise ValueError(message)
    unit, shape = _FIELDS[letters]
    return unit, letters, shape


def _whole(text: str, units: list[str]) -> None:
    twice = [unit for index, unit in enumerate(units) if unit in units[:index]]
    if twice or {"hour", "hour of twelve"} <= set(units):
        message = f"'{text}' says the {twice[0] if twice else 'hour'} twice"
        raise ValueError(message)
    if lacking := [unit for unit in ("year", "month", "day") if unit not in units]:
        message = f"'{text}' has no {lacking[0]}: a date needs yyyy, MM and dd"
        raise ValueError(message)
    hours = {"hour", "hour of twelve"} & set(units)
    for unit in units:
        lacks = [need for need in _NEEDS.get(unit, ()) if need not in units]
        if lacks or (unit == "minute" and not hours):
            message = f"'{text}' says the {unit} and no {lacks[0] if lacks else 'hour'}"
            raise ValueError(message)


def _readable(text: str, tokens: list[tuple[str, str, str]]) -> None:
    for (_, letters, _), (unit, following, _) in pairwise(tokens):
        ends_anywhere = letters in _ANY_LENGTH or letters.startswith("S")
        if ends_anywhere and unit not in ("", "offset") and following not in ("MMM", "MMMM", "a"):
            message = f"'{text}' can be read in two ways: nothing tells where {letters} ends and {following} begins"
            raise ValueError(message)
