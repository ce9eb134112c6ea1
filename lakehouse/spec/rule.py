"""Rules: what rows must keep, one by one or together, parsed before anything runs."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from lakehouse.spec.base import FieldError, Spec
from lakehouse.spec.expression import (
    AggregateCheck,
    Check,
    ReferenceCheck,
    RowCheck,
    UniqueCheck,
    asks_time,
    named_alone,
    understood,
)
from lakehouse.spec.functions import NAMED, Dimension


def _is_understood(check: str) -> str:
    understood(check)
    return check


def _is_of_a_row(where: str) -> str:
    if not isinstance(understood(where), RowCheck):
        message = "which rows a rule is of, each row tells by itself: no aggregates, unique() or exists_in()"
        raise ValueError(message)  # noqa: TRY004 - pydantic reports no TypeError
    return where


_TEXT = Field(max_length=4000)

Percent = Annotated[str, Field(pattern=r"^(100|[0-9]{1,2}(\.[0-9]{1,6})?)%$")]
"""A share, such as ``0.1%``."""


class Rule(Spec):
    """A condition that rows must not make false; NULL passes, as in a CHECK of SQL.

    ``check`` tells what it is about: one row (``amount >= 0``, ``is_email(email)``), all rows of the batch together
    (``count(*) >= 1000``), rows that are the same (``unique(order_id)``), or another table
    (``exists_in(customer_id, silver.customers.customer_id)``).

    ``on_fail`` says what becomes of a row that breaks it: kept aside as received (``quarantine``), left out and
    counted (``drop``), kept and counted (``warn``), or the end of the run before anything is written (``fail``).
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    check: Annotated[str, _TEXT, AfterValidator(_is_understood)]
    where: Annotated[
        Annotated[str, _TEXT, AfterValidator(_is_of_a_row)] | None,
        Field(description="The rows that are judged: those for which it is true; all where not said."),
    ] = None
    on_fail: Literal["quarantine", "drop", "fail", "warn"] = "quarantine"
    at_most: Annotated[
        Annotated[int, Field(ge=0, le=2**63 - 1)] | Percent | None,
        Field(description="More broken rows, or a larger share of those that are judged, end the run."),
    ] = None
    severity: Annotated[
        Literal["info", "warning", "error", "critical"] | None,
        Field(description="For people; warning where on_fail is warn, else error."),
    ] = None
    dimension: Annotated[Dimension | None, Field(description="What it measures; told by the check where left out.")] = (
        None
    )
    about: str = ""

    @model_validator(mode="before")
    @classmethod
    def _all_rows_cannot_be_put_aside(cls, value: Any) -> Any:
        """A rule over all rows together fails the run where nothing else is said."""
        if isinstance(value, dict) and isinstance(value.get("check"), str) and "on_fail" not in value:
            try:
                return {**value, "on_fail": "fail"} if _is_aggregate(value["check"]) else value
            except ValueError:
                return value
        return value

    @model_validator(mode="after")
    def _fits_what_it_asks(self) -> Rule:
        if isinstance(self.asks, AggregateCheck):
            if self.on_fail in ("quarantine", "drop"):
                message = "no one row breaks a rule over all of them: expected warn or fail"
                raise FieldError(message, "on_fail")
            if self.at_most is not None:
                message = "a rule over all rows is kept or broken: say the bound in the check"
                raise FieldError(message, "at_most")
        if isinstance(self.asks, UniqueCheck) and self.on_fail == "drop":
            message = (
                "all rows that are the same would be lost: one of them is kept by keys (scd1) or an identity (append)"
            )
            raise FieldError(message, "on_fail")
        return self

    @property
    def asks(self) -> Check:
        """What the check asks."""
        return understood(self.check)

    @property
    def only(self) -> RowCheck | None:
        """Which rows are judged; None: all."""
        found = understood(self.where) if self.where else None
        return found if isinstance(found, RowCheck) else None

    @property
    def weight(self) -> str:
        """The severity."""
        return self.severity or ("warning" if self.on_fail == "warn" else "error")

    @property
    def measures(self) -> Dimension:
        """The dimension: as said, else by what is asked."""
        asks, named = self.asks, named_alone(self.asks)
        if self.dimension:
            return self.dimension
        if named:
            return NAMED[named].dimension
        if isinstance(asks, UniqueCheck | ReferenceCheck):
            return "consistency"
        if asks_time(self.check):
            return "timeliness"
        if isinstance(asks, AggregateCheck):
            return "accuracy" if asks.reads else "completeness"
        is_there = self.check.lower().split()[-3:] == ["is", "not", "null"] and len(asks.reads) == 1
        return "completeness" if is_there else "consistency" if len(asks.reads) > 1 else "accuracy"

    @property
    def reads(self) -> frozenset[str]:
        """The columns that it needs."""
        return self.asks.reads | (self.only.reads if self.only else frozenset())

    def allows(self, broken: int, judged: int) -> bool:
        """Whether so many broken rows are within ``at_most``; all are where it is not said."""
        if self.at_most is None:
            return True
        if isinstance(self.at_most, int):
            return broken <= self.at_most
        return broken * 100 <= Decimal(self.at_most.rstrip("%")) * judged


def _is_aggregate(check: str) -> bool:
    return isinstance(understood(check), AggregateCheck)
