"""``lakehouse quarantine discard | reopen``: a person closes rows of the quarantine, or takes that back."""

from __future__ import annotations

import getpass
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from lakehouse.check import quarantine
from lakehouse.check.quarantine import DISCARDED, OPEN, condition, every_row, judging
from lakehouse.errors import ConfigError
from lakehouse.lake.statements import expression
from lakehouse.lake.table import head
from lakehouse.maintain.commit import saying
from lakehouse.publish.ledger import Event, record
from lakehouse.runtime.lock import leased
from lakehouse.runtime.session import settled, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import SparkSession

    from lakehouse.lake.place import Lake


@dataclass(frozen=True)
class Closed:
    """What was done to rows of a quarantine: how many were asked for, by job and code, and how many it was."""

    table: str
    run_id: str
    what: Literal["discard", "reopen"]
    dry_run: bool
    chosen: tuple[tuple[str, str, int], ...]
    rows: int = 0

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "table": self.table,
            "run_id": self.run_id,
            "status": "done",
            "dry_run": self.dry_run,
            "chosen": [{"job": job, "code": code, "rows": rows} for job, code, rows in self.chosen],
            "rows": self.rows,
        }


def discard(
    table: str,
    lake: Lake,
    settings: Mapping[str, str],
    *,
    where: str,
    why: str,
    dry_run: bool = False,
    spark: SparkSession | None = None,
) -> Closed:
    """Close the open rows for which a condition is true: nobody will deal with them.

    They stay in the quarantine, with who closed them and why, until the write's ``quarantine_retention`` is over.

    Args:
        table: the target, ``schema.table``.
        lake: where it is.
        settings: Spark's.
        where: an SQL condition on the quarantine's columns.
        why: the reason, for those who look later.
        dry_run: say what would be closed, and do nothing.
        spark: the session; one is started where there is none.

    Raises:
        ConfigError: there is no reason, or ``where`` is no condition on the quarantine.
        SourceNotFoundError: nothing was ever put aside for the table.
    """
    if not why.strip():
        message = "--why: say why the rows are not wanted"
        raise ConfigError(message)
    return _closed("discard", table, lake, settings, where=where, why=why.strip(), dry_run=dry_run, spark=spark)


def reopen(
    table: str,
    lake: Lake,
    settings: Mapping[str, str],
    *,
    where: str,
    dry_run: bool = False,
    spark: SparkSession | None = None,
) -> Closed:
    """Take back that rows were discarded: they are open again, and can be requeued. As ``discard`` otherwise."""
    return _closed("reopen", table, lake, settings, where=where, why="", dry_run=dry_run, spark=spark)


def _closed(
    what: Literal["discard", "reopen"],
    table: str,
    lake: Lake,
    settings: Mapping[str, str],
    *,
    where: str,
    why: str,
    dry_run: bool,
    spark: SparkSession | None,
) -> Closed:
    begin, run_id = datetime.now(UTC), uuid.uuid4().hex[:12]
    spark = spark or start(what, settings)
    lake.guarded(spark)
    place, who = lake.quarantine(table), getpass.getuser()
    with settled(spark, settings):
        rows = every_row(spark, place)
        which = condition(rows, where)
        found = (
            rows.where(expression(f"{OPEN if what == 'discard' else DISCARDED} AND {which}"))
            .groupBy("job", "code")
            .count()
        )
        with judging(where):
            chosen = tuple(map(tuple, found.orderBy("job", "code").collect()))
        if dry_run or not chosen:
            return Closed(table, run_id, what, dry_run, chosen)
        told = {"where": where, "why": why, "by": who}
        note = json.dumps({"lakehouse": {"step": what, "run_id": run_id, **told}})
        # no batch is put aside, and no requeue takes rows up, meanwhile
        with leased(lake.table(table)), saying(spark, note):
            if what == "discard":
                count = quarantine.discard(spark, place, which, why=why, who=who)
            else:
                count = quarantine.reopen(spark, place, which)
        newest = head(spark, place)
        event = Event(
            what,
            "",
            run_id,
            "done",
            begin,
            target=place.name,
            path=place.path,
            inputs={**told, "rows": count},
            version=newest.version if newest else None,
        )
        with leased(lake.ledger):
            record(spark, lake.ledger, [event])
    return Closed(table, run_id, what, dry_run, chosen, count)


def told(closed: Closed) -> Iterator[str]:
    """What was done, in lines."""
    yield closed.table
    if not closed.chosen:
        yield "  nothing in quarantine that was asked for"
    for job, code, rows in closed.chosen:
        yield f"  {rows:,} rows of {job}: {code}"
    done = {"discard": "discarded; `lakehouse quarantine reopen` takes it back", "reopen": "open again"}[closed.what]
    if closed.rows:
        yield f"  {closed.rows:,} rows {done}"
