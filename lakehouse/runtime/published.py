"""``lakehouse contract check``: a published table as a whole, held against the contract that it was written by."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse.check.table import judged_as_it_is
from lakehouse.errors import ConfigError, LakehouseError, QualityGateError
from lakehouse.lake.table import head, read_table
from lakehouse.publish import quality as history
from lakehouse.publish.ledger import Event
from lakehouse.runtime.judged import beside
from lakehouse.runtime.lock import leased
from lakehouse.runtime.requeue import writers
from lakehouse.runtime.result import told
from lakehouse.runtime.session import settled, start
from lakehouse.runtime.workplace import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.lake.quality import Quality
    from lakehouse.runtime.workplace import Workplace


@dataclass(frozen=True)
class Found:
    """What a table was found to be by the contract of one job, and the gate of it that is broken, if any."""

    job: str
    quality: Quality
    error: QualityGateError | None = None


@dataclass(frozen=True)
class Report:
    """What was found of a table by the contract of each job that writes it, and by which rules it could not be held."""

    table: str
    version: int | None
    found: tuple[Found, ...]
    passed_over: tuple[str, ...] = ()

    @property
    def error(self) -> LakehouseError | None:
        """The first error; those of other contracts are beside them."""
        return next((one.error for one in self.found if one.error), None)

    def as_json(self) -> dict[str, Any]:
        """The object that ``lakehouse contract check --json`` prints."""
        return {
            "status": "failed" if self.error else "done",
            "checked": self.table,
            "version": self.version,
            "contracts": [
                {
                    "job": found.job,
                    "version": found.quality.version,
                    "score": round(found.quality.score, 9),
                    "dimensions": {name: round(score, 9) for name, score in found.quality.by_dimension().items()},
                    "rules": [asdict(judgement) for judgement in found.quality.judgements],
                    "error": told(found.error),
                }
                for found in self.found
            ],
            "passed_over": list(self.passed_over),
        }

    def told(self) -> Iterator[str]:
        """It in words."""
        for found in self.found:
            job, one = found.job, found.quality
            by = ", ".join(f"{name} {score:.2%}" for name, score in one.by_dimension().items())
            yield f"{self.table}  version {self.version}  by {job}'s write.contract: score {one.score:.4%} ({by})"
            for rule in one.judgements:
                told = f"{rule.broken:,} of {rule.judged:,} broken" if rule.broken else f"{rule.judged:,} judged"
                yield f"  {'BAD' if rule.broken else 'ok '} {rule.rule}  {rule.dimension}, {rule.severity}: {told}"
        for name in self.passed_over:
            yield f"  --  {name}: the table does not keep what it reads"


def writers_of(name: str, **where: Any) -> list[Workplace]:
    """The jobs whose contract a table is held against: the one that is named, or all that write the table.

    Raises:
        ConfigError: there is none, or none has a contract of what it writes.
    """
    found = writers(name, **where) if "." in name and not name.endswith((".yaml", ".py")) else [prepare(name, **where)]
    works = [work for work in found if work.job.write.contract]
    if not works:
        message = f"no write.contract in {', '.join(work.job.job for work in found)}"
        raise ConfigError(message, hint="say in the job's write: what its rows must be")
    return works


def check(
    works: Sequence[Workplace], *, spark: SparkSession | None = None, say: Callable[[Report], None] = lambda _: None
) -> Report:
    """Hold a table against the contracts of the jobs that write it, and tell the history of quality.

    Args:
        works: the jobs in their places, as ``writers_of`` gives them.
        spark: the session; one is started where there is none.
        say: is told what was found.

    Raises:
        SourceNotFoundError: there is no such table.
    """
    spark, lake = spark or start("contract", works[0].settings), works[0].lake
    lake.guarded(spark)
    with settled(spark, works[0].settings):
        target = lake.table(works[0].job.write.table)
        newest = head(spark, target)
        report = Report(target.name, newest.version if newest else None, ())
        for work in works:
            report = _with(report, work, spark)
        events = [_event(work, one, report.table) for work, one in zip(works, report.found, strict=True)]
        with leased(lake.quality):
            history.record(spark, lake.quality, events)
    say(report)
    return report


def _with(report: Report, work: Workplace, spark: SparkSession) -> Report:
    contract, target = work.job.write.contract, work.lake.table(report.table)
    if contract is None:
        return report
    rows = _current(read_table(spark, target, report.version), work)
    tables = [(name, head(spark, work.lake.table(name))) for name in contract.references]
    versions = {name: newest.version if newest else 0 for name, newest in tables}
    around = beside(work, spark, contract, versions, datetime.now(UTC))
    quality, passed_over, error = judged_as_it_is(rows, contract.with_freshness, around)
    found = Found(work.job.job, replace(quality, version=contract.fingerprint), error)
    return replace(report, found=(*report.found, found), passed_over=(*report.passed_over, *passed_over))


def _current(rows: DataFrame, work: Workplace) -> DataFrame:
    """The rows that hold now: of a history the open versions."""
    is_current = getattr(work.job.write, "is_current", None)
    has = is_current and is_current.lower() in {name.lower() for name in rows.columns}
    return rows.where(F.col(f"`{is_current}`")) if has else rows


def _event(work: Workplace, found: Found, table: str) -> Event:
    status: Any = "failed" if found.error else "done"
    now = datetime.now(UTC)
    return Event("batch", work.job.job, work.run_id, status, now, target=table, quality=(found.quality,))
