"""A job with no incremental source: one batch of all there is, and none where nothing is other than last time."""

from __future__ import annotations

import hashlib
import inspect
import json
from typing import TYPE_CHECKING, Any

from lakehouse.lake.batch import Identity
from lakehouse.lake.table import commits
from lakehouse.maintain.commit import MOVES
from lakehouse.runtime.batch import Batch, pinned, process, replayed
from lakehouse.runtime.journal import recovered
from lakehouse.runtime.query import QueryTransform
from lakehouse.write.commit import earlier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import SparkSession

    from lakehouse.lake.table import Table
    from lakehouse.runtime.batch import Outcome
    from lakehouse.runtime.journal import Journal
    from lakehouse.runtime.workplace import Workplace


def run(
    work: Workplace, target: Table, done: Callable[[Outcome], None], journal: Journal, *, again: bool = False
) -> None:
    """Run the batch, unless the target's newest commit was made by this very code of these very versions.

    ``again``: run it all the same.
    """
    spark = journal.spark
    identity = Identity(work.job.job, work.run_id, "", 0, incremental=False)
    versions = pinned(work, spark, identity)
    seen = {
        name: _changed(spark, work.lake.table(source.table), versions[name])
        for name, source in work.job.statics.items()
    }
    seen |= {name: _changed(spark, work.lake.table(name), versions[name]) for name in work.job.references}
    identity = Identity(work.job.job, work.run_id, f"static/{_digest(work, seen)}", 0, incremental=False)
    made = None if again else earlier(spark, target, identity)
    if made and made.note.get("run_id") == work.run_id:
        # an attempt of this very run committed it, and did not come to tell
        if journal.newest != (identity.stream, identity.batch):
            journal.add(recovered(made, target), committed=True)
        done(replayed(made, identity))
    if made:
        return
    done(process(Batch(work, spark, identity, versions, None, target), journal))


def _changed(spark: SparkSession, table: Table, version: int) -> tuple[int, str]:
    """The commit that made the table's rows what they are at a version, passing over what only moved them.

    A table that was made anew may be at the same version, so the time of the commit tells, too.
    """
    for commit in commits(spark, table, 100):
        if commit.version <= version and commit.operation not in MOVES:
            return commit.version, commit.at
    return version, ""


def _digest(work: Workplace, versions: Mapping[str, tuple[int, str]]) -> str:
    """What the result depends on: the job as written, its code, and the versions of its sources."""
    code: Any = work.transform
    if isinstance(code, QueryTransform):
        text = code.source
    else:
        text = inspect.getsource(inspect.getmodule(code) or code) if code else ""
    parts = [work.job.model_dump_json(exclude={"retry", "breaker"}), text, json.dumps(versions, sort_keys=True)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
