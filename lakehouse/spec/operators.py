"""Operators of SQL that only precedence would tell apart: parsers do not agree on it, so parentheses are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.spec.sql import Token

AFTER_CONDITION = frozenset({"and", "or", ")", "]", ",", "then", "when", "else", "end", "as"})
"""What ends a condition."""

MOST_OPERATORS = 200
"""Each is one level of a tree: Spark refuses to parse some 900 of them."""

_PATTERNED = frozenset({"like", "ilike", "rlike", "regexp"})
_COMPARING = _PATTERNED | {"=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>", "is", "in", "between"}
_BITS = frozenset("&|^")
_SUMS = frozenset({"+", "-", "||"})
_PRODUCTS = frozenset({"*", "/", "%", "div"})
_QUANTIFIERS = frozenset({"any", "all", "some"})
_TYPES = frozenset({"array", "map", "struct"})
_BEFORE_SIGN = frozenset({"and", "or", "not", "when", "then", "else", "case", "div", "between", "in", "escape", "from"})
_BEFORE_SIGN |= _PATTERNED
_OPERATORS = _BEFORE_SIGN | _COMPARING | AFTER_CONDITION
"""Words that may stand after a column."""
_NEW_SIDE = frozenset({"and", "or", ",", "when", "then", "else", "->", "=>", "as", "from", "where"})
_BEFORE_NOT = _NEW_SIDE - {"as", "from"} | {"case", "", "(", "[", "not", "!", "is"}


def check_operators(tokens: Sequence[Token]) -> None:
    """Refuse what only precedence decides, and words that Spark takes for names where they do not stand as operators.

    Raises:
        ValueError: parentheses are missing.
    """
    said = ["", *(token.word or (token.source if token.kind == "mark" else "") for token in tokens), ""]
    sides = _Sides()
    for index, token in enumerate(tokens):
        before, this, after = said[index : index + 3]
        if why := _why_refused(token, (before, this, after), is_first=index == 0):
            raise ValueError(why)
        if this == "struct" and after == "(":
            _check_struct(tokens, index + 1)
        if this in _QUANTIFIERS and after == "(":
            _check_quantifier(tokens, index, before)
        follows_mark = index > 0 and tokens[index - 1].kind == "mark" and before not in (")", "]")
        begins = index == 0 or follows_mark or before in _BEFORE_SIGN
        is_sign = this in ("-", "+") and begins
        _check_operand(token, tokens[index + 1 : index + 2], begins=begins)
        if is_sign and after == "" and said[index + 3 : index + 4] == ["::"]:
            message = f"{this}{tokens[index + 1].source}:: is read in two ways: write cast({this}… as …)"
            raise ValueError(message)
        if this == "interval" and said[index + 4 : index + 5] in (["+"], ["-"]) and said[index + 5] == "":
            message = "a value right after an interval is read in two ways: put the interval into parentheses"
            raise ValueError(message)
        sides.take("" if is_sign else this, before)


def _why_refused(token: Token, said: tuple[str, str, str], *, is_first: bool) -> str | None:
    before, this, after = said
    stands_first = before in _BEFORE_NOT and (before != "" or is_first)
    if this in ("not", "!") and not stands_first and after not in _COMPARING:
        return f"{token.source} stands before a whole condition: put both into parentheses"
    if before == "." and after == "(" and token.kind == "word" and this in _BEFORE_SIGN | _COMPARING:
        return f".{token.source}(…) is no built-in function"
    if this in ("isnull", "notnull") and after != "(":
        return f"{token.source} is read in two ways: write IS NULL or IS NOT NULL"
    if this == "exists" and before in _PATTERNED:
        return f"{token.source} after {before}: put it into parentheses"
    return None


def _check_operand(token: Token, after: Sequence[Token], *, begins: bool) -> None:
    """Hold words that are names to Spark where they lack what they work on.

    Raises:
        ValueError: one does.
    """
    if token.word == "div" and begins:
        message = f"{token.source} stands between two values"
        raise ValueError(message)
    is_name = bool(after) and (after[0].kind == "name" or (after[0].kind == "word" and after[0].word not in _OPERATORS))
    if token.word == "interval" and is_name:
        message = f"{token.source} needs a number and a unit"
        raise ValueError(message)


def _check_struct(tokens: Sequence[Token], start: int) -> None:
    """Refuse ``struct(a = b)``, of which one parser makes a field called a.

    Raises:
        ValueError: an argument is a comparison without parentheses.
    """
    depth = 0
    for token in tokens[start:]:
        depth += (token.source in ("(", "[")) - (token.source in (")", "]"))
        if depth == 0:
            return
        if depth == 1 and token.kind == "mark" and token.source in ("=", "==", "=>"):
            message = f"{token.source} in struct(…) is read in two ways: put the comparison into parentheses"
            raise ValueError(message)


def _check_quantifier(tokens: Sequence[Token], index: int, before: str) -> None:
    """Hold ANY, SOME and ALL against where they call nothing: between LIKE and its patterns, up to the condition's end.

    Raises:
        ValueError: they stand elsewhere, where Spark calls a function of that name.
    """
    depth, close = 0, index + 1
    while close < len(tokens):
        depth += (tokens[close].source == "(") - (tokens[close].source == ")")
        close += 1
        if depth == 0:
            break
    after = (tokens[close].word or tokens[close].source) if close < len(tokens) else ")"
    if before not in _PATTERNED or after not in AFTER_CONDITION:
        message = f"{tokens[index].source} (…) stands after LIKE, and nothing but AND or OR after it"
        raise ValueError(message)


@dataclass
class _Side:
    """One side of AND, OR, a comma or a parenthesis: what it compares by, and which operators it has."""

    compares: bool = False
    between: bool = False
    operators: set[str] = field(default_factory=set)
    parts: int = 0
    within_type: int = 0


@dataclass
class _Sides:
    """The sides that reading is in, the innermost one last."""

    open: list[_Side] = field(default_factory=lambda: [_Side()])

    def take(self, said: str, before: str) -> None:
        """Take one more token into the side that it is on.

        Raises:
            ValueError: it is the second one of those that need parentheses.
        """
        side = self.open[-1]
        if said in ("(", "[", "case"):
            self.open.append(_Side())
        elif said in (")", "]", "end"):
            del self.open[max(len(self.open) - 1, 1) :]
        elif said in "<>" and (side.within_type or before in _TYPES):
            side.within_type += 1 if said == "<" else -1
        elif said in _NEW_SIDE and not side.within_type and (said, before) != ("from", "distinct"):
            self._begin(side, said)
        elif said in _COMPARING:
            self._compare(side, said)
        elif said in _BITS | _SUMS | _PRODUCTS:
            _operate(side, said)

    def _begin(self, side: _Side, said: str) -> None:
        if said == "and" and side.between:
            side.between = False
        else:
            self.open[-1] = _Side()

    def _compare(self, side: _Side, said: str) -> None:
        if side.compares:
            message = f"a second comparison by {said}: put the first one, or this one, into parentheses"
            raise ValueError(message)
        self.open[-1] = _Side(compares=True, between=said == "between")


def _operate(side: _Side, said: str) -> None:
    side.parts += 1
    if side.parts > MOST_OPERATORS:
        message = f"more than {MOST_OPERATORS} operators side by side"
        raise ValueError(message)
    side.operators |= {said} - _PRODUCTS
    if len(side.operators & _BITS) > 1 or ("||" in side.operators and len(side.operators) > 1):
        message = f"{' and '.join(sorted(side.operators))} side by side: put one of them into parentheses"
        raise ValueError(message)
