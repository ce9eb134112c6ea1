"""A run tries again what may succeed with nothing changed by hand: whole, from where the checkpoint says it is.

A batch whose commit is in doubt is no other case: the attempt that follows looks for it in the table's log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_exception, sleep_using_event, wait_random_exponential

from lakehouse.errors import BatchConflictError, LakehouseError, LockedError, TableChangedError
from lakehouse.lake.faults import typed
from lakehouse.spec.failures import seconds

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from tenacity import RetryCallState

    from lakehouse.spec.failures import Retry

_ONCE = TableChangedError, BatchConflictError
"""Errors that another attempt either gets over at once, or meets each time."""


@dataclass(frozen=True)
class Failure:
    """An attempt that failed and is followed by another: which of how many it was, and the seconds in between."""

    error: LakehouseError
    attempt: int
    of: int
    waits: float


def persistently(
    action: Callable[[], None],
    retry: Retry,
    *,
    stop: threading.Event,
    progress: Callable[[], int],
    tell: Callable[[Failure], None],
) -> None:
    """Do it, and again after a while where that may help.

    Args:
        action: what is done; called again, it goes on where it was.
        retry: how often, and how long is waited in between.
        stop: set from elsewhere, it ends the waiting, and no attempt follows.
        progress: a number that is another one once something came through; the attempts are then counted anew.
        tell: called before each wait.

    Raises:
        LakehouseError: how the last attempt failed.
    """
    failed: LakehouseError | None = None

    def once() -> None:
        if failed and stop.is_set():
            raise failed
        action()

    def again(state: RetryCallState) -> None:
        if failed:
            tell(Failure(failed, state.attempt_number, retry.max_attempts, round(state.upcoming_sleep, 3)))

    attempts = Retrying(
        retry=retry_if_exception(_is_worth_it),
        stop=lambda state: stop.is_set() or state.attempt_number >= _most(failed, retry),
        # anything up to a bound that doubles
        wait=wait_random_exponential(multiplier=seconds(retry.initial_backoff), max=seconds(retry.max_backoff)),
        sleep=sleep_using_event(stop),
        before_sleep=again,
        reraise=True,
    )
    for attempt in attempts:
        with attempt:
            before = progress()
            try:
                once()
            except Exception as raised:
                if progress() != before:
                    attempt.retry_state.attempt_number = 1
                failed = typed(raised)
                raise failed from failed.__cause__


def _is_worth_it(error: BaseException) -> bool:
    """Whether another attempt may succeed; who holds a lock has it for longer than a run should wait."""
    return isinstance(error, LakehouseError) and error.retryable and not isinstance(error, LockedError)


def _most(error: LakehouseError | None, retry: Retry) -> int:
    """How many attempts there may be where the last one ended so."""
    return min(retry.max_attempts, 2) if isinstance(error, _ONCE) else retry.max_attempts
