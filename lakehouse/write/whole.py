"""SCD1 of events that are whole rows: the one that comes last in the order is its key's row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

from pyspark.sql import Window
from pyspark.sql import functions as F

from lakehouse.lake.batch import CODE
from lakehouse.lake.frame import col, materialise, path, sql_type
from lakehouse.lake.statements import expression
from lakehouse.write import auxiliary
from lakehouse.write.change import PUT, REMOVE, Counts, counted
from lakehouse.write.events import (
    ACTION,
    DELETED,
    EVENT,
    FATE,
    FILE,
    KIND,
    OLD,
    RANK,
    REMEMBER,
    TRUNCATE,
    Size,
    beside,
    dropped,
    filed,
    keys,
    names,
    of_keys,
    order,
    payload,
    same_key,
    within,
)
from lakehouse.write.evolve import grown

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.spec.write import Scd1Write

LIVE, TOMB, FLOOR, FORGOTTEN, DEAD = "__live", "__tomb", "__floor", "__forgotten", "__dead"
_FIRST = "__first"
_TIE = "tie"


@dataclass(frozen=True)
class WholeRows:
    """The events of a batch, what the table holds, and what its auxiliary table remembers."""

    batch: DataFrame
    spec: Scd1Write
    size: Size
    held: DataFrame | None
    remembered: DataFrame | None

    @classmethod
    def ranked(cls, batch: DataFrame, spec: Scd1Write) -> DataFrame:
        """The batch with each event's place in the order of all and among those of its key, evaluated once."""
        sequence = [path(batch, name) for name in spec.sequence_by]
        deleted = F.col(DELETED) | F.col(TRUNCATE)
        event = order(batch, sequence, deleted=deleted, columns=[*payload(batch), *cls._TELLING])
        events = batch.select("*", event.alias(EVENT), *keys(batch, spec.keys))
        newest_first = Window.partitionBy(*names(len(spec.keys)), TRUNCATE).orderBy(F.col(EVENT).desc())
        first = F.first(EVENT).over(newest_first)
        return materialise(events.withColumns({RANK: F.row_number().over(newest_first), _FIRST: first}))

    def judged(self, *, narrowly: bool) -> tuple[DataFrame, Counts]:
        """Every row's fate, its action, and whether that replaces a row; evaluated once, and counted.

        First only keys, sequence and position of the table's rows are read. Where that leaves two of them equal, as in
        a replay, whole rows are read for their hash.
        """
        judged = materialise(self._judged(narrow=narrowly and self.held is not None))
        counts = counted(judged)
        if counts.fates[_TIE]:
            return self.judged(narrowly=False)
        return judged, counts

    @property
    def _count(self) -> int:
        return len(self.spec.keys)

    def _judged(self, *, narrow: bool) -> DataFrame:
        """The batch with the fate of each event: against those of its key, then against what is held and remembered."""
        ranked = self._events
        live = self._live(self._kind, narrow=narrow)
        judged = self._with_known(ranked, live)
        decided = judged.withColumn(FATE, _fate(narrow=narrow))
        newest = F.col(DEAD).isNull() | (F.col(EVENT) > F.col(DEAD))
        heeded = F.col(FATE).isin("deleted", "unchanged")
        decided = decided.withColumns(
            {
                ACTION: F.when(F.col(FATE).isin("inserted", "updated"), PUT).when(F.col(FATE) == "deleted", REMOVE),
                OLD: F.col(LIVE).isNotNull(),
                REMEMBER: F.col(DELETED) & (F.col(RANK) == 1) & newest & heeded,
                KIND: F.lit(auxiliary.EVENT_KIND),
                CODE: F.when(F.col(FATE) == "rejected", "LATE_EVENT"),
            }
        )
        parts = [decided]
        if self.size.truncates:
            parts += self._truncated(decided, live)
        engine = [*names(self._count), EVENT, FATE, ACTION, OLD, FILE, REMEMBER, KIND, CODE, *dropped(self.batch)]
        together = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)
        return together.select(*[col(name) for name in (*self._payload, *engine)])

    _TELLING: ClassVar[tuple[str, ...]] = ()
    """Columns of the engine's own that tell two events apart."""

    @property
    def _payload(self) -> list[str]:
        return payload(self.batch)

    @property
    def _kind(self) -> str:
        return sql_type(self.batch.schema[EVENT].dataType)

    @property
    def _events(self) -> DataFrame:
        return self.batch.where(~F.col(TRUNCATE))

    @property
    def _truncates(self) -> DataFrame:
        return self.batch.where(F.col(TRUNCATE))

    def _live(self, kind: str, *, narrow: bool) -> DataFrame | None:
        """The keys of the table's rows and what they are compared by."""
        if self.held is None:
            return None
        table = self._near(self.held)
        sequence = [path(table, name) for name in self.spec.sequence_by]
        held = order(table, sequence, deleted=F.lit(False), columns=None if narrow else self._payload)
        # the table may name its columns in another case
        return table.select("*", *keys(table, self.spec.keys), held.cast(kind).alias(LIVE))

    def _near(self, held: DataFrame) -> DataFrame:
        """The table as it will be, with the file of each row, as far as the batch reaches into it."""
        table = grown(filed(held), self.batch)
        condition = None if self.size.truncates else within(self.size, self.spec.keys, table)
        return table.where(expression(condition)) if condition else table

    def _with_known(self, ranked: DataFrame, live: DataFrame | None) -> DataFrame:
        """Beside each event: its key's row, its key's last deletion, the last truncate, and what was forgotten."""
        count, size, kind = self._count, self.size, self._kind
        wanted = ranked.where(F.col(RANK) == 1).select(*names(count))
        known = ranked
        if live is not None:
            mine = of_keys(live.select(*names(count), LIVE, FILE), wanted, size)
            known = beside(known, mine, size)
        lone = []
        if self.remembered is not None:
            tombs = auxiliary.events(self.remembered, count).select(*names(count), F.col("_event").cast(kind))
            mine = of_keys(tombs, wanted, size).groupBy(*names(count)).agg(F.max("_event").alias(TOMB))
            known = beside(known, mine, size)
            forgotten = auxiliary.greatest(self.remembered, auxiliary.FORGOTTEN_KIND)
            lone.append(forgotten.select(F.col("_event").cast(kind).alias(FORGOTTEN)))
        if self.remembered is not None or self.size.truncates:
            lone.append(floor(self._truncates, self.remembered, kind))
        for one in lone:
            known = known.crossJoin(F.broadcast(one))
        missing = [name for name in (LIVE, TOMB, FLOOR, FORGOTTEN) if name not in known.columns]
        if missing:
            known = known.withColumns({name: F.lit(None).cast(kind) for name in missing})
        if live is None:
            known = known.withColumn(FILE, F.lit(None).cast("string"))
        return known.withColumn(DEAD, F.greatest(TOMB, FLOOR))

    def _truncated(self, decided: DataFrame, live: DataFrame | None) -> list[DataFrame]:
        """The last truncate of the batch, to be remembered, and the rows that go by it without an event."""
        count = self._count
        if live is None:
            return [self._last_truncate()]
        touched = decided.where(F.col(ACTION).isNotNull()).select(*names(count))
        gone = live.crossJoin(F.broadcast(floor(self._truncates, self.remembered, self._kind))).where(
            F.col(LIVE) < F.col(FLOOR)
        )
        gone = gone.join(touched, same_key(gone, touched, self.size), "left_anti")
        return [
            self._last_truncate(),
            gone.withColumns({ACTION: F.lit(REMOVE), OLD: F.lit(True), REMEMBER: F.lit(False)}),
        ]

    def _last_truncate(self) -> DataFrame:
        last = Window.orderBy(F.col(EVENT).desc())
        cut = self._truncates.withColumn(RANK, F.row_number().over(last)).where(F.col(RANK) == 1)
        return cut.withColumns({REMEMBER: F.lit(True), KIND: F.lit(auxiliary.TRUNCATE_KIND)})


def floor(truncates: DataFrame, known: DataFrame | None, kind: str) -> DataFrame:
    """One row with the latest truncate there is, in this batch or before it; NULL where there is none."""
    cut = truncates.select(F.col(EVENT).withField("deleted", F.lit(True)).cast(kind).alias(FLOOR))
    if known is not None:
        cut = cut.unionByName(
            auxiliary.greatest(known, auxiliary.TRUNCATE_KIND).select(F.col("_event").cast(kind).alias(FLOOR))
        )
    return cut.agg(F.max(FLOOR).alias(FLOOR))


def _fate(*, narrow: bool) -> Column:
    """What becomes of an event that is no truncate."""
    event, live, dead, deleted = F.col(EVENT), F.col(LIVE), F.col(DEAD), F.col(DELETED)
    sequence = F.col(f"{EVENT}.sequence")
    newest = F.greatest(live, dead)
    alive = live.isNotNull() & (dead.isNull() | (live > dead))
    fate = F.when(
        F.col(RANK) > 1, F.when(sequence == F.col(f"{_FIRST}.sequence"), "duplicates").otherwise("superseded")
    )
    if narrow:
        same = [F.col(f"{EVENT}.{part}").eqNullSafe(F.col(f"{LIVE}.{part}")) for part in ("sequence", "position")]
        fate = fate.when(live.isNotNull() & same[0] & same[1] & ~deleted, _TIE)
    heard = live.isNull() & (dead.isNull() | (event > dead))
    too_late = heard & (sequence <= F.col(f"{FORGOTTEN}.sequence"))
    return (
        fate.when(too_late & ~deleted, "rejected")
        .when(newest.isNull(), F.when(deleted, "unchanged").otherwise("inserted"))
        .when(
            event > newest,
            F.when(deleted, F.when(live.isNotNull(), "deleted").otherwise("unchanged"))
            .when(live.isNotNull(), "updated")
            .otherwise("inserted"),
        )
        .when(alive & (event == live), "unchanged")
        # a kill may have kept what is remembered from the table
        .when(deleted & (event == F.col(TOMB)), F.when(live < event, "deleted").otherwise("unchanged"))
        .when(sequence == newest["sequence"], "duplicates")
        .otherwise("superseded")
    )
