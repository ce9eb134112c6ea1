"""What a run would do, said before it does it: reads names, headers and schemas, and writes nothing."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pyspark.errors import AnalysisException
from pyspark.sql import functions as F

from lakehouse.check.contract import check, judge
from lakehouse.check.others import Beside
from lakehouse.errors import LakehouseError, first_line
from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE, Arrived, sourced
from lakehouse.lake.checkpoint import Checkpoint
from lakehouse.lake.look import look
from lakehouse.lake.storage import local
from lakehouse.lake.table import Table, exists, head, read_table
from lakehouse.read.feed import Due
from lakehouse.runtime import stream
from lakehouse.runtime.batch import failed
from lakehouse.runtime.feeds import feed_of
from lakehouse.runtime.judged import after_transform
from lakehouse.runtime.session import settled, start
from lakehouse.spec.source import TableSource
from lakehouse.write.definition import check_definition
from lakehouse.write.evolve import fits, renamed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.runtime.workplace import Workplace
    from lakehouse.spec.contract import Contract
    from lakehouse.spec.source import Source
    from lakehouse.spec.write import Write
    from lakehouse.write.evolve import Fit


def planned(work: Workplace, *, spark: SparkSession | None = None, explain_write: bool = False) -> Iterator[str]:
    """The plan, a line at a time. ``explain_write``: the next batch is read, and what it would do is said as well.

    Raises:
        LakehouseError: what would end the run before its first batch.
    """
    spark = spark or start(work.job.job, work.settings)
    with settled(spark, work.settings):
        yield f"job {work.job.job} in {work.lake.root}"
        target = work.lake.table(work.job.write.table)
        if found := look(spark, target):
            check_definition(found.properties, work.job.write, target)
        frames = {}
        for name, source in work.job.sources.items():
            due = _due(work, spark, source)
            yield f"  read {name}: {due.told}"
            frames[name] = due.columns
        alters = yield from _written(work, frames)
        if explain_write and alters:
            yield "    how: told once the table is altered"
        elif explain_write:
            yield from _explained(work, spark)


def _accepted(rows: DataFrame, contract: Contract | None, missing: Literal["null", "error"]) -> DataFrame:
    """What transform() would be given: there are no rows, and so nothing for a rule to find."""
    beside = {column: F.lit(None).cast("string") for column in (RAW, CODE, MESSAGE)}
    arrived = Arrived(rows.withColumns(beside))
    # rules are held against what Spark understands
    judge(arrived.rows, contract, missing=missing)
    return check(arrived, _columns_alone(contract), missing=missing).accepted


def _as_written(produced: DataFrame, spec: Write, target: Table) -> DataFrame:
    """What is written of what transform() made."""
    alone = spec.model_copy(update={"contract": _columns_alone(spec.contract)})
    checked = after_transform(produced.limit(0), alone, Beside(), target)
    return checked.accepted if checked else produced


def _columns_alone(contract: Contract | None) -> Contract | None:
    """The contract without its rules."""
    return contract.model_copy(update={"rules": (), "min_score": None}) if contract else None


def _explained(work: Workplace, spark: SparkSession) -> Iterator[str]:
    """What the next batch would do, found by running it up to its commit, with a copy of the checkpoint."""
    target = work.lake.table(work.job.write.table)
    checkpoint = local(work.lake.checkpoint(work.job.job).path)
    if not work.job.is_incremental or checkpoint is None:
        yield "    how: told for jobs with an incremental source, in a lake on this machine"
        return
    with tempfile.TemporaryDirectory() as beside:
        if checkpoint.is_dir():
            shutil.copytree(checkpoint, Path(beside) / "checkpoint")
        # a table that has to be made first is so in a place of its own
        known = exists(spark, target)
        place = target if known else Table(target.name, f"{beside}/table")
        result = stream.explain(work, spark, place, Checkpoint(f"{beside}/checkpoint"))
    if result is None:
        yield "    how: nothing is due"
        return
    yield f"    how: {result.strategy}: {result.why}"
    yield f"    adds {result.rows_added:,} rows, removes {result.rows_removed:,}"


def _due(work: Workplace, spark: SparkSession, source: Source) -> Due:
    """What a run would read of a source, and the columns that it would bring."""
    if source.stream or not isinstance(source, TableSource):
        return feed_of(work).due(spark, work.lake.checkpoint(work.job.job))
    table = work.lake.table(source.table)
    newest = head(spark, table)
    told = f"{source.table} as it is at version {newest.version if newest else 'none'}"
    return Due(told, sourced(read_table(spark, table).limit(0)))


def _transformed(work: Workplace, frames: dict[str, DataFrame]) -> DataFrame:
    """What the job's code makes of no rows.

    Raises:
        TransformError: names and types do not allow it, whatever rows there are.
    """
    if work.transform is None:
        return next(iter(frames.values()))
    try:
        made: DataFrame = work.transform(**frames)
        _ = made.schema  # Spark Connect looks at a plan when it is asked for its schema
    except AnalysisException as error:
        raise failed(work, error) from error
    return made


def _written(work: Workplace, frames: dict[str, DataFrame]) -> Generator[str, None, bool]:
    """What would become of the target, as far as the sources' columns tell; whether it is altered before the write."""
    spec, target = work.job.write, work.lake.table(work.job.write.table)
    if work.job.is_incremental:
        name, source = work.job.stream
        if frames[name].columns == [SOURCE] and source.contract is None:
            yield f"  write {target.name}: nothing, as there is nothing new"
            return False
        if not work.job.is_stateful:
            frames = {**frames, name: _accepted(frames[name], source.contract, feed_of(work).missing)}
    try:
        made = _transformed(work, frames)
        fit = fits(_as_written(renamed(made, spec), spec, target), spec, target)
    except LakehouseError:
        raise
    except Exception as error:
        # a plan says what it cannot know, and why
        yield f"  write {target.name}: unknown, as transform() does not take these columns: {first_line(error)}"
        return False
    if fit.found is None:
        columns = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in fit.after.fields)
        yield f"  create {target.name} ({spec.mode}): {columns}"
        return False
    yield from _changed(fit, spec, target)
    return bool(fit.alterations)


def _changed(fit: Fit, spec: Write, target: Table) -> Iterator[str]:
    """What would become of a table that is there."""
    new = [f"{one.path} {one.rows.simpleString()}" for one in fit.differences if one.kind == "new" and one.rows]
    wider = [one.path for one in fit.differences if one.kind == "wider"]
    grown = [f"columns added: {', '.join(new)}"] if new else []
    grown += [f"types that grow: {', '.join(wider)}"] if wider else []
    yield f"  write {target.name} ({spec.mode}), {'; '.join(grown) or 'its columns as they are'}"
    if wider:
        yield "    readers without Delta's type widening, such as deltalake 1.6, cannot open the table then"
    yield from (f"    before it: {statement}" for statement in fit.alterations)
