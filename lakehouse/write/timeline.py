"""All that is known of each key on one timeline, and the versions that come of it.

The events of the batch, those that the table's versions began with, the ends of versions, and those that the auxiliary
table remembers because they show in no version. The versions are made of them anew, and what differs from the table's
is to be written: so a late event is folded as if it had come in time. The method is that of AUTO CDC in Spark
Declarative Pipelines, which reconciles intervals per key, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql.types import NullType, StructType

from lakehouse.errors import KeyMissingError, WriteError
from lakehouse.lake.batch import CODE, SOURCE
from lakehouse.lake.frame import col, comparable, materialise, path, quoted, row_hash, sql_type
from lakehouse.lake.statements import expression
from lakehouse.lake.types import brought, resolved
from lakehouse.write import auxiliary, truncates
from lakehouse.write.change import PUT, REMOVE
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
    dropped,
    filed,
    keys,
    names,
    of_keys,
    order,
    payload,
    within,
)
from lakehouse.write.truncates import CUT

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

    from lakehouse.spec.write import Scd2Write

ORIGIN = "__origin"
_BATCH, _KEPT, _VERSION, _SHOWN = 3, 2, 1, 0
"""Where an event of a timeline is from; ``_SHOWN`` is none, but a version that is there."""
_LATE, _KNOWN, _START, _END, _RUN = "__late", "__known", "__start", "__end", "__run"
_TRACKED, _BEFORE, _OWN = "__tracked", "__before", "__own"


def trackable(batch: DataFrame, spec: Scd2Write) -> DataFrame:
    """The batch, which must have what makes a version: a column that vanished would end every version with a NULL.

    Raises:
        KeyMissingError: ``track_history`` or ``track_history_except`` names a column that is not there.
    """
    known = {name.lower() for name in batch.columns}
    for field, wanted in (
        ("track_history", spec.track_history),
        ("track_history_except", spec.track_history_except),
    ):
        for name in wanted or ():
            if name.lower() not in known:
                message = f"{spec.table}: {field} names {name}, which the rows do not have"
                raise KeyMissingError(message, hint=f"they have {', '.join(batch.columns)}")
    return batch


def sequence(batch: DataFrame, spec: Scd2Write) -> Column:
    """The sequence as one value: that of the column, or a struct of several."""
    try:
        parts = [path(batch, name) for name in spec.sequence_by]
    except KeyMissingError as error:
        message = f"{spec.table}: sequence_by: {error}"
        raise KeyMissingError(message) from None
    if len(parts) == 1:
        return parts[0]
    return F.struct(*[part.alias(name.split(".")[-1]) for part, name in zip(parts, spec.sequence_by, strict=True)])


def with_versions(batch: DataFrame, spec: Scd2Write) -> DataFrame:
    """The batch with the columns of a version, which it may not have itself.

    Raises:
        WriteError: it has one of that name.
    """
    known = {name.lower() for name in batch.columns}
    for name in (spec.valid_from, spec.valid_to, spec.is_current):
        if name.lower() in known:
            message = f"{spec.table}: the rows have a column {name}, which is what the write calls one of its own"
            raise WriteError(message, hint="give the version's columns other names: valid_from, valid_to, is_current")
    start = F.col("__sequence")
    return batch.withColumns(
        {
            spec.valid_from: start,
            spec.valid_to: F.when(F.lit(False), start),
            spec.is_current: F.lit(True),
        }
    ).drop("__sequence")


def ordered(batch: DataFrame, spec: Scd2Write) -> DataFrame:
    """The batch with ``__event``, and with the keys under the engine's own names."""
    starts = _parts(batch, spec, spec.valid_from)
    ends = F.col(DELETED) | F.col(TRUNCATE) if TRUNCATE in batch.columns else F.col(DELETED)
    event = order(batch, starts, deleted=ends, columns=_shown(batch, spec))
    return batch.select("*", event.alias(EVENT), *keys(batch, spec.keys))


def _parts(batch: DataFrame, spec: Scd2Write, name: str) -> list[Column]:
    """The parts of a sequence that is one value."""
    kind = batch.schema[name].dataType
    if len(spec.sequence_by) == 1 or not isinstance(kind, StructType):
        return [col(name)]
    return [col(name)[part.name] for part in kind.fields]


def _shown(batch: DataFrame, spec: Scd2Write) -> list[str]:
    """The columns of a batch but those of a version."""
    own = {spec.valid_from, spec.valid_to, spec.is_current}
    return [name for name in payload(batch) if name not in own]


@dataclass(frozen=True)
class Fold:
    """The events of a batch, and what is known of their keys.

    ``batch`` is evaluated, and has the table's columns, ``__event``, and its sequence in ``valid_from``. The events of
    ``held`` are known, and the versions made of all are compared with those of ``shown``: one table, unless a commit is
    mended.
    ``more`` are events that are known otherwise. ``whole_table``: they are of all keys, and not only of the batch's.
    ``remembers``: the events that show in no version are kept aside; without it they can be told from what is there.
    """

    batch: DataFrame
    spec: Scd2Write
    size: Size
    held: DataFrame | None
    shown: DataFrame | None
    remembered: DataFrame | None
    more: DataFrame | None = None
    whole_table: bool = False
    remembers: bool = True

    @property
    def columns(self) -> list[str]:
        """The table's columns but those of a version."""
        return _shown(self.batch, self.spec)

    @property
    def untracked(self) -> list[str]:
        """The columns that change in place."""
        spec = self.spec
        fixed = {name.lower().split(".")[0] for name in (*spec.keys, *spec.sequence_by)} | {SOURCE}
        free = [name for name in self.columns if name.lower() not in fixed]
        if spec.track_history:
            tracked = {name.lower() for name in spec.track_history}
            return [name for name in free if name.lower() not in tracked]
        left_out = {name.lower() for name in spec.track_history_except}
        return [name for name in free if name.lower() in left_out]

    @property
    def same(self) -> dict[str, str]:
        """What tells a version from all others, each with the operator that compares it."""
        return {**self.size.operators(self.spec.keys), self.spec.valid_from: "="}

    @property
    def _tracked(self) -> list[str]:
        """The columns that make a version."""
        spec = self.spec
        tracked = {name.lower() for name in spec.track_history}
        left_out = {name.lower() for name in (SOURCE, *spec.keys, *spec.sequence_by, *spec.track_history_except)}
        return [
            name for name in self.columns if name.lower() not in left_out and (not tracked or name.lower() in tracked)
        ]

    def _comparable(self, frame: DataFrame, name: str) -> Column | None:
        """A column as versions are compared by it: without a key or a sequence in it, None if that is all of it."""
        kind, value = frame.schema[name].dataType, col(name)
        named = (resolved(self.batch.schema, one) for one in (*self.spec.keys, *self.spec.sequence_by))
        inner = {tuple(found[0][1:]) for found in named if found and found[0][0] == name and len(found[0]) > 1}
        if inner and isinstance(kind, StructType):
            if len(kind.fields) == len(inner):
                return None
            value = value.dropFields(*[".".join(map(quoted, path)) for path in inner])
            kind = frame.select(value.alias(name)).schema[name].dataType
        return comparable(value, kind).alias(name)

    @property
    def _count(self) -> int:
        return len(self.spec.keys)

    def judged(self) -> DataFrame:
        """The events and versions of the batch's keys: what becomes of each, and what is to be done."""
        events = self._events()
        kind = sql_type(events.schema[EVENT].dataType)
        parts = [events, *self._of_table(events, kind), *self._of_memory(events, kind)]
        if self.more is not None:
            parts.append(self.more)
        if (cut := self._cut(parts, kind)) is not None:
            parts.append(cut)
        together = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)
        # all that follows is done key by key, so the rows are brought together once
        together = together.repartition(*names(self._count))
        decided = self._decided(self._versions(self._told(together)))
        return self._with_truncates(decided, kind) if self.size.truncates else decided

    def _cut(self, parts: list[DataFrame], kind: str) -> DataFrame | None:
        """The truncates as events of every key that is looked at; None where there cannot be any."""
        if self.spec.mode != "scd2":
            return None
        cuts = truncates.heed(self.batch if self.size.truncates else None, self.remembered, kind)
        if cuts is None:
            return None
        # what goes by a truncate is told by its keys
        holders = {found[0][0] for name in self.spec.keys if (found := resolved(self.batch.schema, name))}
        own = [*map(col, sorted(holders)), *map(F.col, names(self._count))]
        # without a new truncate all parts are of the batch's keys
        looked_at = [part.select(own) for part in (parts if self.size.truncates else parts[:1])]
        touched = reduce(lambda one, other: one.unionByName(other), looked_at).dropDuplicates([*names(self._count)])
        marks = {ORIGIN: F.lit(_KEPT), _LATE: F.lit(False), CUT: F.lit(True)}
        return touched.crossJoin(F.broadcast(cuts)).withColumns(marks)

    def _with_truncates(self, decided: DataFrame, kind: str) -> DataFrame:
        """What was decided, with the fate of each truncate of the batch."""
        decided = materialise(decided)
        own = F.struct(*[col(name) for name in self.columns]).alias("row")
        judged = truncates.judge(self.batch, self.remembered, decided.where(F.col(CUT)), kind).withColumn(_OWN, own)
        wanted = [name for name in [*decided.columns, KIND] if name in judged.columns]
        # one may speak for a version that goes
        decided = decided.where(~F.col(CUT) | F.col(ACTION).isNotNull())
        return decided.unionByName(judged.select(*map(col, wanted)), allowMissingColumns=True)

    def _events(self) -> DataFrame:
        """The batch as events."""
        engine = [*names(self._count), EVENT, *dropped(self.batch)]
        batch = self.batch.where(~F.col(TRUNCATE)) if self.size.truncates else self.batch
        mine = batch.select(*map(col, [*self.columns, *engine]))
        late = F.lit(False)
        if self.remembered is not None:
            kind = sql_type(mine.schema[EVENT].dataType)
            forgotten = auxiliary.greatest(self.remembered, auxiliary.FORGOTTEN_KIND)
            mine = mine.crossJoin(F.broadcast(forgotten.select(F.col("_event").cast(kind).alias("__forgotten"))))
            late = F.coalesce(F.col(f"{EVENT}.sequence") <= F.col("__forgotten.sequence"), F.lit(False))
        return mine.withColumns({ORIGIN: F.lit(_BATCH), _LATE: late}).drop("__forgotten")

    def _starts(self, name: str) -> list[Column]:
        return _parts(self.batch, self.spec, name)

    def _of_table(self, events: DataFrame, kind: str) -> list[DataFrame]:
        """What the versions of the batch's keys tell: the event that began each, its end, and that it is there."""
        if self.held is None or self.shown is None:
            return []
        spec = self.spec
        held = self._mine(self.held, events)
        # where columns change in place, a version does not show the event that began it: that is remembered
        columns = None if self.untracked else self.columns
        began = order(
            held, self._starts(spec.valid_from), deleted=F.lit(False), columns=columns, placed=not self.untracked
        )
        known = held.withColumns({EVENT: began.cast(kind), ORIGIN: F.lit(_VERSION), _LATE: F.lit(False)})
        open_ended = F.col(spec.is_current)
        ended = order(held, self._starts(spec.valid_to), deleted=F.lit(True), columns=None, placed=False)
        ends = held.where(~open_ended).withColumns(
            {EVENT: ended.cast(kind), ORIGIN: F.lit(_VERSION), _LATE: F.lit(False), "__derived": F.lit(True)}
        )
        shown = held if self.shown is self.held else self._mine(self.shown, events)
        hashed = row_hash(shown, self.columns).alias("hash")
        old = F.struct(col(spec.valid_to).alias("valid_to"), hashed, F.col(FILE).alias("file"))
        there = order(shown, self._starts(spec.valid_from), deleted=F.lit(False), columns=None, placed=False)
        shown = shown.withColumns({EVENT: there.cast(kind), ORIGIN: F.lit(_SHOWN), _LATE: F.lit(False), OLD: old})
        engine = [*names(self._count), EVENT, ORIGIN, _LATE]
        return [
            known.select(*[col(name) for name in (*self.columns, *engine)]),
            ends.select(*[col(name) for name in (*self.columns, *engine, "__derived")]),
            shown.select(*[col(name) for name in (*self.columns, *engine, OLD)]),
        ]

    def _mine(self, table: DataFrame, events: DataFrame) -> DataFrame:
        """The versions of the batch's keys, with the columns that the table will have."""
        table = filed(table)
        there = {name.lower(): name for name in table.columns}
        wanted = [
            self._brought(name, col(have) if have else None, table.schema[have].dataType if have else NullType())
            for name in (*self.columns, self.spec.valid_from, self.spec.valid_to, self.spec.is_current)
            for have in (there.get(name.lower()),)
        ]
        table = table.select(*wanted, FILE)
        table = table.select("*", *keys(table, self.spec.keys))
        if self.whole_table:
            return table
        if condition := within(self.size, self.spec.keys, table):
            table = table.where(expression(condition))
        return of_keys(table, events.select(*names(self._count)), self.size)

    def _brought(self, name: str, value: Column | None, kind: DataType) -> Column:
        """A column of another frame as the batch has it, which may have fields that the other has not."""
        value = F.lit(None) if value is None else value
        return brought(value, kind, self.batch.schema[name].dataType).alias(name)

    def _of_memory(self, events: DataFrame, kind: str) -> list[DataFrame]:
        """The remembered events of the batch's keys."""
        if self.remembered is None:
            return []
        count = self._count
        known = auxiliary.events(self.remembered, count)
        if not self.whole_table:
            known = of_keys(known, events.select(*names(count)), self.size)
        # what is not newer than what was forgotten the versions show, and it may lack its neighbours
        forgotten = auxiliary.greatest(self.remembered, auxiliary.FORGOTTEN_KIND).select(
            F.col("_event").alias("__gone")
        )
        known = known.crossJoin(F.broadcast(forgotten))
        known = known.where(F.col("__gone").isNull() | (F.col("_event.sequence") > F.col("__gone.sequence")))
        row = known.schema["_row"].dataType if "_row" in known.columns else None
        there = {one.name.lower(): one for one in row.fields} if isinstance(row, StructType) else {}
        values = [
            self._brought(name, F.col("_row")[have.name] if have else None, have.dataType if have else NullType())
            for name in self.columns
            for have in (there.get(name.lower()),)
        ]
        return [self.known(known.select(*values, *names(count), F.col("_event").cast(kind).alias(EVENT)))]

    def known(self, events: DataFrame) -> DataFrame:
        """Events that are no part of the batch, as a timeline takes them: the table's columns, keys and ``__event``."""
        columns = [col(name) for name in (*self.columns, *names(self._count), EVENT)]
        return events.select(*columns, F.lit(_KEPT).alias(ORIGIN), F.lit(False).alias(_LATE))

    def _told(self, together: DataFrame) -> DataFrame:
        """One event for each key and sequence, the others being its losers; a version that is there is beside it."""
        at = [*names(self._count), f"{EVENT}.sequence"]
        instant = Window.partitionBy(*at)
        real = F.col(ORIGIN) != _SHOWN
        if "__derived" in together.columns:
            # the end of a version is a deletion only where nothing else is known of that instant
            end = F.coalesce(F.col("__derived"), F.lit(False))
            known = F.max(F.when(real & ~end & (F.col(ORIGIN) < _BATCH), F.lit(1))).over(instant)
            together = together.withColumn("__moot", end & known.isNotNull())
            together = together.where(~F.col("__moot")).drop("__moot", "__derived")
        best = instant.orderBy(F.col(_LATE), (~real), F.col(EVENT).desc(), F.col(ORIGIN))
        columns = {
            RANK: F.row_number().over(best),
            _KNOWN: F.max(F.when(real & (F.col(ORIGIN) < _BATCH), F.col(EVENT))).over(instant),
        }
        if OLD in together.columns:
            # two rows of one version, as two writers may make them, are as one that differs
            copies = F.count(OLD).over(instant)
            apart = F.max(OLD).over(instant)
            columns["__there"] = F.when(copies > 1, apart.withField("hash", F.lit(None).cast("bigint"))).otherwise(
                apart
            )
        ranked = together.withColumns(columns)
        if OLD in ranked.columns:
            return ranked.drop(OLD).withColumnRenamed("__there", OLD)
        kind = sql_type(self.batch.schema[self.spec.valid_to].dataType)
        nothing = f"struct<valid_to:{kind},hash:bigint,file:string>"
        return ranked.withColumn(OLD, F.lit(None).cast(nothing))

    def _versions(self, told: DataFrame) -> DataFrame:
        """Where versions begin and end on each key's timeline."""
        heeded = (F.col(RANK) == 1) & ~F.col(_LATE) & (F.col(ORIGIN) != _SHOWN)
        timeline = told.withColumn("__heeded", heeded)
        # newest first: all that a frame looks at then grows row by row, and is not gone through again for each
        by_key = Window.partitionBy(*names(self._count), "__heeded").orderBy(F.col(f"{EVENT}.sequence").desc())
        newer = by_key.rowsBetween(Window.unboundedPreceding, -1)
        deleted = F.col(f"{EVENT}.deleted")
        compared = [value for name in self._tracked if (value := self._comparable(told, name)) is not None]
        tracked = F.struct(*compared) if compared else F.lit(0)
        timeline = timeline.withColumn(_TRACKED, tracked)
        alive_before = F.lead(~deleted).over(by_key)
        timeline = timeline.withColumns({_BEFORE: alive_before, "__tracked_before": F.lead(_TRACKED).over(by_key)})
        same = F.coalesce(F.col(_BEFORE), F.lit(False)) & F.col(_TRACKED).eqNullSafe(F.col("__tracked_before"))
        begins = F.col("__heeded") & ~deleted & ~same
        ends = F.col("__heeded") & deleted & F.coalesce(F.col(_BEFORE), F.lit(False))
        timeline = timeline.withColumns({_START: begins, _END: ends})
        bound = F.when(F.col(_START) | F.col(_END), F.col(f"{EVENT}.sequence"))
        timeline = timeline.withColumns({"__next": F.last(bound, ignorenulls=True).over(newer)})
        if not self.untracked:
            return timeline
        run = F.count(bound).over(newer)
        timeline = timeline.withColumn(_RUN, run)
        of_run = Window.partitionBy(*names(self._count), "__heeded", _RUN).orderBy(F.col(f"{EVENT}.sequence").desc())
        last = F.first(F.struct(*[col(name) for name in self.untracked])).over(of_run)
        now = F.struct(*[comparable(col(name), told.schema[name].dataType).alias(name) for name in self.untracked])
        in_place = (F.row_number().over(of_run) == 1) & ~now.eqNullSafe(F.lead(now).over(by_key))
        return timeline.withColumns({"__last": last, "__in_place": in_place})

    def _decided(self, timeline: DataFrame) -> DataFrame:
        """The fate of each event, and what is to be done to each version."""
        spec = self.spec
        event, deleted = F.col(EVENT), F.col(f"{EVENT}.deleted")
        mine = F.col(ORIGIN) == _BATCH
        in_place = F.col("__in_place") if self.untracked else F.lit(False)
        fate = (
            F.when(~mine, None)
            .when(event.eqNullSafe(F.col(_KNOWN)), "unchanged")
            .when(F.col(_LATE), "rejected")
            .when(F.col(RANK) > 1, "duplicates")
            .when(deleted, F.when(F.col(_END), "deleted").otherwise("unchanged"))
            .when(F.col(_START), F.when(F.coalesce(F.col(_BEFORE), F.lit(False)), "updated").otherwise("inserted"))
            .otherwise(F.when(in_place, "updated").otherwise("unchanged"))
        )
        last = {name: F.col("__last")[name] for name in self.untracked}
        # what an event said itself is remembered, not what its version shows
        own = F.struct(*[col(name) for name in self.columns]).alias("row")
        whole = timeline.withColumns({FATE: fate, _OWN: own})
        if last:
            of_run = {name: F.when(F.col(_START), value).otherwise(col(name)) for name, value in last.items()}
            whole = whole.withColumns(of_run)
        one_part = len(spec.sequence_by) == 1
        kind = sql_type(self.batch.schema[spec.valid_from].dataType)

        def single(sequence: str) -> Column:
            return F.col(f"{sequence}.s0") if one_part else F.col(sequence).cast(kind)

        until = single("__next")
        if spec.open_end is not None:
            until = F.coalesce(until, F.lit(spec.open_end).cast(kind))
        whole = whole.withColumns(
            {
                spec.valid_from: single(f"{EVENT}.sequence"),
                spec.valid_to: until,
                spec.is_current: F.col("__next").isNull(),
            }
        )
        differs = (
            F.col(OLD).isNull()
            | ~F.col(f"{OLD}.valid_to").eqNullSafe(col(spec.valid_to))
            | ~F.col(f"{OLD}.hash").eqNullSafe(row_hash(whole, self.columns))
        )
        # of the rows of an instant the first one speaks for the version that is there
        speaks = F.col(RANK) == 1
        action = F.when(F.col(_START) & differs, PUT).when(speaks & ~F.col(_START) & F.col(OLD).isNotNull(), REMOVE)
        new = mine & (F.col(RANK) == 1) & ~F.col(_LATE) & ~event.eqNullSafe(F.col(_KNOWN))
        hidden = (F.lit(True) if self.untracked else ~F.col(_START)) & new
        # a version that shows no more is an event that shows no more
        covered = (F.col(ORIGIN) == _VERSION) & (F.col(RANK) == 1) & ~deleted & ~F.col(_START) & F.col("__heeded")
        whole = whole.withColumns(
            {
                ACTION: action,
                FILE: F.col(f"{OLD}.file"),
                REMEMBER: hidden | covered,
                CODE: F.when(F.col(FATE) == "rejected", "LATE_EVENT"),
            }
        )
        return self._to_be_kept(whole)

    def _to_be_kept(self, whole: DataFrame) -> DataFrame:
        """The rows that something is to be done with, or that were of the batch."""
        spec = self.spec
        shown = [*self.columns, spec.valid_from, spec.valid_to, spec.is_current]
        order_of_table = [name for name in self.batch.columns if name in shown]
        engine = [*names(self._count), EVENT, FATE, ACTION, REMEMBER, CODE, OLD, FILE, _OWN, *dropped(self.batch)]
        wanted = (F.col(ORIGIN) == _BATCH) | F.col(ACTION).isNotNull() | F.col(REMEMBER)
        if self.size.truncates:
            whole = whole.withColumn(CUT, F.coalesce(F.col(CUT), F.lit(False)) & F.col(_END))
            wanted, engine = wanted | F.col(CUT), [*engine, CUT]
        return whole.where(wanted).select(*[col(name) for name in (*order_of_table, *engine)])

    def aside(self, judged: DataFrame) -> DataFrame:
        """The events that show in no version, as they came."""
        own = [F.col(_OWN)[name].alias(name) for name in self.columns]
        kind = F.lit(auxiliary.EVENT_KIND)
        kind = F.coalesce(F.col(KIND), kind) if KIND in judged.columns else kind
        aside = judged.where(F.col(REMEMBER)).withColumn(KIND, kind)
        return aside.select(*own, *map(col, [*names(self._count), EVENT, KIND]))
