"""What a run came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lakehouse.publish.ledger import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.errors import LakehouseError


Status = Literal["done", "failed", "stopped"]
"""How a run ended; one that was told to stop did so after the batch that it was at, perhaps before the first."""


@dataclass(frozen=True)
class Target:
    """The table that a run wrote, and what all of its commits together did to it."""

    table: str
    path: str
    version: int | None = None
    rows_added: int = 0
    rows_removed: int = 0


@dataclass(frozen=True)
class RunResult:
    """One run of one job: how it ended, and where every row went.

    ``is_late``: it took longer than its ``sla``; None where it has none, or did not do what was due.
    """

    job: str
    run_id: str
    status: Status
    batches: int
    rows: Rows
    target: Target
    seconds: float
    stages: Mapping[str, float] = field(default_factory=dict)
    error: LakehouseError | None = None
    is_late: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that ``lakehouse run --json`` prints."""
        return {
            "job": self.job,
            "run_id": self.run_id,
            "status": self.status,
            "batches": self.batches,
            "rows": asdict(self.rows),
            "target": asdict(self.target),
            "seconds": round(self.seconds, 3),
            "late": self.is_late,
            "error": told(self.error),
        }


def told(error: LakehouseError | None) -> dict[str, Any] | None:
    """An error as the object that every ``--json`` prints of it."""
    if error is None:
        return None
    return {"code": error.code, "message": error.message, "hint": error.hint, "retryable": error.retryable}


def not_begun(job: str, error: LakehouseError) -> RunResult:
    """The result of a run that could not start."""
    return RunResult(job, "", "failed", 0, Rows(), Target("", ""), 0.0, error=error)
