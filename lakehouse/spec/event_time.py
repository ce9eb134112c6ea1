"""Event time: how late a row may be, and what is held until then: keys that were seen, and windows that are open."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from sqlglot import exp

from lakehouse.spec.base import ColumnName, ColumnNames, FieldError, Spec
from lakehouse.spec.expression import check_calls, parsed, tokens_of
from lakehouse.spec.functions import SCALARS
from lakehouse.spec.sql import print_tokens

Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5} (second|minute|hour|day)s?$")]
"""How long, as ``30 seconds`` or ``10 minutes``."""

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

WINDOW_START, WINDOW_END, EVENTS = "window_start", "window_end", "_events"
"""The columns that every window has; ``_events`` is how many rows are in it so far."""

_AGGREGATES: dict[type[exp.Expr], str] = {
    exp.Count: "count",
    exp.CountIf: "count_if",
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
    exp.LogicalAnd: "bool_and",
    exp.LogicalOr: "bool_or",
    exp.BitwiseAndAgg: "bit_and",
    exp.BitwiseOrAgg: "bit_or",
    exp.BitwiseXorAgg: "bit_xor",
    exp.ApproxDistinct: "approx_count_distinct",
}
"""Aggregates that give the same whatever order the rows come in, and whose state does not grow with them."""

_CALLED = {"filter", "where", "every", "some", "any", "mean", "approx_distinct", *_AGGREGATES.values()}
"""What a window may call besides the functions of a row."""

_CHANGING = re.compile(r"Current|Local|Rand|Uuid|Seq\d|Shuffle")
"""How the classes of functions begin that give another value each time."""


def seconds(duration: str) -> int:
    """A duration in seconds."""
    number, unit = duration.split()
    return int(number) * _SECONDS[unit.removesuffix("s")]


def _aggregate(text: str) -> str:
    """An SQL aggregate that a window can hold, printed anew from what was judged.

    Raises:
        ValueError: it is none, or gives another value for the same rows.
    """
    tokens = tokens_of(text)
    sql = print_tokens(tokens).text
    tree = parsed(sql)
    found = list(tree.find_all(exp.AggFunc))
    known = ", ".join(sorted(_AGGREGATES.values()))
    if tree.find(exp.Query, exp.Window, exp.UDTF, exp.Parameter, exp.Placeholder):
        message = "one aggregate over the rows of the window: no subqueries, OVER, generators or parameters"
        raise ValueError(message)
    if tree.find(exp.Distinct):
        message = "a window does not hold the values that it has seen: approx_count_distinct() counts them, nearly"
        raise ValueError(message)
    if changing := next((one for one in tree.find_all(exp.Func) if _CHANGING.match(type(one).__name__)), None):
        message = f"{changing.sql('spark')} gives another value each time"
        raise ValueError(message)
    unknown = [one.name for one in tree.find_all(exp.Anonymous)]
    unknown += [one.sql_name().lower() for one in found if type(one) not in _AGGREGATES]
    if unknown or not found:
        told = f"{unknown[0]}() is not known here, or depends on the order of rows" if unknown else "not an aggregate"
        message = f"{told}: a window holds {known}, and what is made of them"
        raise ValueError(message)
    if any(one.find_ancestor(exp.AggFunc) for one in found):
        message = "an aggregate within an aggregate"
        raise ValueError(message)
    if loose := next((one for one in tree.find_all(exp.Column) if not one.find_ancestor(exp.AggFunc)), None):
        message = f"'{loose.sql('spark')}' is of one row: aggregate it, or name it in by"
        raise ValueError(message)
    check_calls(tokens, SCALARS | _CALLED)
    return sql


Aggregate = Annotated[str, Field(max_length=4000), AfterValidator(_aggregate)]


class Watermark(Spec):
    """The newest time that was seen in ``column``, less ``delay``: what is older comes too late.

    It only moves from one batch to the next, so a row is never late for what came in its own batch.
    """

    column: ColumnName
    delay: Duration


class Window(Spec):
    """Rows that happened within the same stretch of time, as one row: the columns ``by``, and aggregates.

    With ``slide``, a new window begins every so often, and each row is in several.
    """

    size: Duration
    slide: Duration | None = None
    by: ColumnNames = ()
    values: Annotated[dict[ColumnName, Aggregate], Field(min_length=1)]

    @model_validator(mode="after")
    def _slides_within(self) -> Window:
        if self.slide and (seconds(self.slide) > seconds(self.size) or seconds(self.size) % seconds(self.slide)):
            message = f"{self.size} is not a multiple of it: each row would not be in equally many windows"
            raise FieldError(message, "slide")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> Window:
        seen = dict.fromkeys((WINDOW_START, WINDOW_END, EVENTS), "a column of every window")
        for name, *at in [*((name, "by") for name in self.by), *((name, "values", name) for name in self.values)]:
            if other := seen.get(name.lower()):
                message = f"'{name}' is {other}"
                raise FieldError(message, *at)
            if name.startswith("_"):
                message = f"'{name}': names that begin with an underscore are this library's"
                raise FieldError(message, *at)
            seen[name.lower()] = f"in {at[0]}, too"
        return self

    @property
    def step(self) -> str:
        """How often a window begins."""
        return self.slide or self.size

    def __str__(self) -> str:
        """In words, as a checkpoint remembers it."""
        values = ", ".join(f"{name} = {value}" for name, value in self.values.items())
        return f"windows of {self.size} every {self.step} by ({', '.join(self.by)}): {values}"
