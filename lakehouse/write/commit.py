"""What every mode does around its own commit: plan it, make it by the cheapest way, read it back, mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from lakehouse.errors import CheckpointError, CommitMissingError, ImbalanceError
from lakehouse.lake.batch import check_counts
from lakehouse.lake.frame import sql_path
from lakehouse.lake.statements import run_sql
from lakehouse.lake.table import Commit, commits, head
from lakehouse.write import auxiliary
from lakehouse.write.refusal import refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table

STEP, REPAIR, REFRESH, UNDO = "target", "repair", "refresh", "undo"
"""What a commit of this library is to its batch; by the last one a table is again what it was before some runs."""

THERE, NEW = "__t", "__s"
"""What a statement calls the table and the rows: no column of a job has such a name, which would come first."""
FAR_BACK = 1_000_000
"""How many commits of a table are looked through for one that must be found."""
_FIXED = ("files", "index", "topics")
"""What an incremental source notes of a batch, which is the same in every attempt at it."""
_FATES = ("inserted", "updated", "deleted", "unchanged", "superseded", "duplicates", "rejected")

Strategy = Literal["nothing", "append", "replace_on", "merge", "overwrite"]


@dataclass(frozen=True)
class WriteResult:
    """What became of the rows of a batch, and what the commit did to the table.

    Every row is counted once in the first seven. ``rows_added`` and ``rows_removed`` are what Delta reports of the
    commit. ``version`` is the table's after the write, which is the one before it where nothing changed.
    ``strategy`` is how the commit was made, and ``why``.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    superseded: int = 0
    duplicates: int = 0
    rejected: int = 0
    rows_added: int = 0
    rows_removed: int = 0
    version: int | None = None
    replayed: bool = False
    strategy: str = field(default="nothing", compare=False)
    why: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Hold the counts against what the ledger can keep."""
        check_counts({name: getattr(self, name) for name in (*_FATES, "rows_added", "rows_removed")})

    @property
    def rows(self) -> int:
        """All rows of the batch."""
        return sum(getattr(self, fate) for fate in _FATES)

    @property
    def is_empty(self) -> bool:
        """Whether the table is as it was."""
        return not self.rows_added and not self.rows_removed


@dataclass(frozen=True)
class Plan:
    """What a batch will do to its target: every row's fate is known, and nothing is written yet.

    ``make`` makes the one commit with the options that it is given; ``remember`` keeps events aside before it; ``mend``
    makes good what the commit did to rows that another writer changed between the look at the table and the commit:
    it is given the version of that commit, and says how many rows it added and removed by a second one.
    ``rejected`` are rows for the quarantine.
    """

    target: Table
    identity: Identity
    before: Commit
    planned: WriteResult
    make: Callable[[Mapping[str, str]], None]
    remember: Callable[[], None] | None = None
    mend: Callable[[int, Mapping[str, str]], tuple[int, int]] | None = None
    rejected: DataFrame | None = None

    @classmethod
    def nothing(cls, target: Table, identity: Identity, before: Commit | None) -> Plan:
        """A batch without a row."""
        planned = WriteResult(version=before.version if before else None)
        return cls(target, identity, before or Commit(-1, ""), planned, make=lambda _: None)

    def commit(self, spark: SparkSession) -> WriteResult:
        """Do it.

        Raises:
            CommitMissingError: the table has no commit of this batch afterwards.
            ImbalanceError: the commit added or removed another number of rows than was planned.
        """
        if self.identity.past and not self.planned.is_empty:
            # one made now would come behind later ones
            return _read_back(spark, self)
        if self.remember:
            self.remember()
        elif self.identity.again:
            auxiliary.forget_attempt(spark, self.target, self.identity)
        if self.planned.is_empty:
            return self.planned
        with refused(self.target):
            # Delta tells a transaction that it has seen by the state of the whole table, which it reads anew each time
            once = self.identity.incremental and not self.identity.sole
            self.make(self.identity.options(STEP, note(self.planned), once=once))
        return _read_back(spark, self)


def earlier(spark: SparkSession, target: Table, identity: Identity, *, among: int = 100) -> Commit | None:
    """The commit that an earlier attempt at this very batch made, looked for among the newest.

    A job with no incremental source starts from nothing each time: only the newest commit that changed rows counts.
    """
    for commit in commits(spark, target, among):
        if identity.made(commit.note, STEP):
            _same_inputs(commit, target, identity)
            return commit
        if not identity.incremental and commit.changes_rows:
            return None
    return None


def newest_batch(spark: SparkSession, target: Table, stream: str) -> int | None:
    """The newest batch of a checkpoint that the table's log tells of.

    It is -1 where there was none since the table was made, or rebuilt by that checkpoint; None where the log does not
    go back so far. A checkpoint that an undo made goes on after a batch of the one before it.
    """
    oldest = 0
    for commit in commits(spark, target, FAR_BACK):
        if commit.note.get("stream") == stream and commit.note.get("step") in (STEP, REFRESH, UNDO):
            return int(commit.note["batch"]) if commit.note["step"] != REFRESH else -1
        oldest = commit.version
    return -1 if oldest == 0 else None


def forebears(spark: SparkSession, target: Table, stream: str) -> list[str]:
    """The checkpoints that one goes on from, newest first: an undo gives the batches that come again a new id."""
    found: list[str] = []
    for commit in commits(spark, target, FAR_BACK):
        own = found[-1] if found else stream
        if (commit.note.get("step"), commit.note.get("stream")) == (UNDO, own) and own:
            found.append(commit.note["of"])
    return found


def _same_inputs(commit: Commit, target: Table, identity: Identity) -> None:
    """Hold what a commit says it was made of against what this batch is made of.

    Raises:
        CheckpointError: the same batch of the same checkpoint, and other input.
    """
    for name, read in identity.inputs.items():
        noted = commit.note["inputs"].get(name, {})
        # what an older version of this library did not note yet cannot differ
        fixed = [word for word in read if word in noted or word in _FIXED]
        if any(word in _FIXED for word in fixed) and any(noted.get(word) != read[word] for word in fixed):
            message = f"{target.name} has batch {identity.batch} of this checkpoint, made of other input of {name}"
            hint = "the checkpoint is an older copy: put the newest back, or run with --full-refresh"
            raise CheckpointError(message, hint=hint)


def _read_back(spark: SparkSession, plan: Plan) -> WriteResult:
    """The commit as it stands in the table's log, held against the plan, and mended where others wrote meanwhile.

    A write that Delta skipped returns like one that it made, so only the log can tell.
    """
    since = list(takewhile(lambda commit: commit.version > plan.before.version, commits(spark, plan.target, 100)))
    own = [commit for commit in since if plan.identity.made(commit.note, STEP)]
    if len(own) > 1:
        message = f"{plan.target.name}: batch {plan.identity.batch} was committed twice, as versions "
        hint = "another runner of the job is writing, and no lock of this disk tells; restore the table to before both"
        raise ImbalanceError(message + ", ".join(str(commit.version) for commit in reversed(own)), hint=hint)
    found = own[0] if own else None
    if found is None:
        if replay := earlier(spark, plan.target, plan.identity, among=FAR_BACK):
            return result(replay, replayed=True)
        message = f"{plan.target.name}: batch {plan.identity.batch} was written, yet the table has no commit of it"
        raise CommitMissingError(
            message, hint="it is older than others that the table has; was the checkpoint replaced by an older copy?"
        )
    made = result(found)
    foreign = [commit for commit in since if commit.version < found.version and commit.changes_rows]
    if foreign and plan.mend:
        added, removed = plan.mend(found.version, plan.identity.options(REPAIR, {}, once=False))
        newest = head(spark, plan.target) or found
        made = replace(
            made, rows_added=made.rows_added + added, rows_removed=made.rows_removed + removed, version=newest.version
        )
    elif (made.rows_added, made.rows_removed) != (plan.planned.rows_added, plan.planned.rows_removed):
        message = (
            f"{plan.target.name}: {plan.planned.rows_added} rows were to be added and {plan.planned.rows_removed} "
            f"removed, the commit added {made.rows_added} and removed {made.rows_removed}"
        )
        raise ImbalanceError(message)
    return made


def note(planned: WriteResult) -> dict[str, object]:
    """What a commit says of itself."""
    told = asdict(planned)
    strategy = {name: told.pop(name) for name in ("strategy", "why")}
    return {"counts": {name: told[name] for name in told if name not in ("version", "replayed")}, **strategy}


def result(commit: Commit, *, replayed: bool = False) -> WriteResult:
    """What a commit of this library did: the rows' fates from its note, the table's change from Delta's own metrics."""
    counts, metrics = commit.note["counts"], commit.metrics
    # commits of an older version may say true for 1
    known = {name: int(counts[name]) for name in _FATES if name in counts}
    if commit.operation == "MERGE":
        inserted, updated, deleted = (
            metrics.get(f"numTargetRows{change}", 0) for change in ("Inserted", "Updated", "Deleted")
        )
        added, removed = inserted + updated, deleted + updated
    else:
        # Delta counts the rows that it only moved as written, too
        added = metrics.get("numOutputRows", 0) - metrics.get("numCopiedRows", 0)
        # and says nothing of rows where a commit does no more than remove files
        only_removed = counts["rows_removed"] if metrics.get("numRemovedFiles") else 0
        removed = metrics.get("numDeletedRows", only_removed)
    return WriteResult(
        **known,
        rows_added=added,
        rows_removed=removed,
        version=commit.version,
        replayed=replayed,
        strategy=commit.note.get("strategy", ""),
        why=commit.note.get("why", ""),
    )


def files_for(rows: int) -> int:
    """How many files a write of so many rows should make."""
    return max(1, -(-rows // 500_000))


def append(rows: DataFrame, target: Table, options: Mapping[str, str]) -> None:
    """Add rows."""
    rows.write.format("delta").mode("append").options(**options).save(target.path)


def replace_on(
    rows: DataFrame, target: Table, options: Mapping[str, str], *, same: Mapping[str, str], where: str
) -> None:
    """Delete the rows that are the same as one of these, and add these, in one commit.

    ``same`` is by which columns, and each by which operator.

    ``where`` is a condition on the table (as ``__t``) that is true for all of them, or empty.
    """
    condition = _matched(rows, same, where)
    writer = rows.alias(NEW).write.format("delta").mode("overwrite").options(**options)
    writer.option("replaceOn", condition).option("targetAlias", THERE).save(target.path)


def merge(
    rows: DataFrame, target: Table, options: Mapping[str, str], *, same: Mapping[str, str], where: str, gone: str
) -> None:
    """Bring the rows in, and take out those for which ``gone`` (a column of the engine's) is true, in one MERGE."""
    spark = rows.sparkSession
    if options.get("mergeSchema"):
        # with schema evolution MERGE would make a column of what says which rows go
        rows.drop(gone).limit(0).write.format("delta").mode("append").option("mergeSchema", "true").save(target.path)
    condition = _matched(rows, same, where)
    view = f"lakehouse_{uuid4().hex}"
    rows.createOrReplaceTempView(view)
    try:
        with _as_settings(spark, options):
            run_sql(
                spark,
                f"MERGE INTO {target.sql} AS {THERE} USING {view} AS {NEW} ON {condition} "
                f"WHEN MATCHED AND {NEW}.{gone} THEN DELETE WHEN MATCHED THEN UPDATE SET * "
                f"WHEN NOT MATCHED AND NOT {NEW}.{gone} THEN INSERT *",
            )
    finally:
        spark.catalog.dropTempView(view)


def _matched(rows: DataFrame, same: Mapping[str, str], where: str) -> str:
    paths = {sql_path(rows, name): operator for name, operator in same.items()}
    pairs = [f"{THERE}.{path} {operator} {NEW}.{path}" for path, operator in paths.items()]
    return " AND ".join([*pairs, *([where] if where else [])])


@contextmanager
def _as_settings(spark: SparkSession, options: Mapping[str, str]) -> Iterator[None]:
    """The options of a write as the session's settings, which is where MERGE looks for them.

    They stay set until they are unset, and a later statement with the same transaction id does nothing.
    """
    prefix = "spark.databricks.delta."
    names = {
        "userMetadata": f"{prefix}commitInfo.userMetadata",
        "txnAppId": f"{prefix}write.txnAppId",
        "txnVersion": f"{prefix}write.txnVersion",
    }
    chosen = {names[name]: value for name, value in options.items() if name in names}
    try:
        for name, value in chosen.items():
            spark.conf.set(name, value)
        yield
    finally:
        for name in chosen:
            spark.conf.unset(name)
