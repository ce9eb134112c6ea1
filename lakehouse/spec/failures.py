"""What a job does about failures: how often it tries again, and when it is held until somebody has looked."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from lakehouse.spec.base import FieldError, Spec

Backoff = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5} (millisecond|second|minute|hour)s?$")]
"""How long to wait, as ``500 milliseconds`` or ``1 minute``."""

Fraction = Annotated[float, Field(ge=0, le=1)]

_SECONDS = {"millisecond": 0.001, "second": 1.0, "minute": 60.0, "hour": 3600.0}


def seconds(backoff: str) -> float:
    """A wait in seconds."""
    number, unit = backoff.split()
    return int(number) * _SECONDS[unit.removesuffix("s")]


class Retry(Spec):
    """How often a run tries again what may succeed with nothing changed by hand.

    The wait is drawn anew each time, between nothing and a bound that doubles, so that runs that met do not meet again.
    """

    max_attempts: Annotated[
        int, Field(ge=1, le=100, description="The first one counts; a batch that comes through begins the count anew.")
    ] = 3
    initial_backoff: Annotated[Backoff, Field(description="The longest wait before the second attempt.")] = "1 second"
    max_backoff: Annotated[Backoff, Field(description="The longest wait of all.")] = "1 minute"

    @model_validator(mode="after")
    def _grows(self) -> Retry:
        if seconds(self.max_backoff) < seconds(self.initial_backoff):
            message = f"the longest wait is at least initial_backoff: {self.initial_backoff}"
            raise FieldError(message, "max_backoff")
        return self


class Breaker(Spec):
    """When a job is held until ``lakehouse resume``; null turns a limit off."""

    max_failures: Annotated[
        int | None, Field(ge=1, description="Runs that failed one after the other; what may pass by itself is not one.")
    ] = 5
    max_quarantine_fraction: Annotated[
        Fraction | None, Field(description="More of a batch's rows may not be put aside: nothing of it is written.")
    ] = None
    max_duplicate_fraction: Annotated[
        Fraction | None,
        Field(description="More of a batch's rows may not lose to another of their key and sequence; none is written."),
    ] = None
    max_change_fraction: Annotated[
        Fraction | None,
        Field(description="More of the table's rows may not be updated or deleted by a batch: nothing is written."),
    ] = None


NEVER = Breaker(max_failures=None)
"""Holds nothing."""
