"""SCD1 of events that set only some columns: each column has the value of the last event that set it.

Beside each row the table keeps, in ``_updates``, the order of its last event, and that of each column where it is
another one. So a late event sets just those columns that nothing newer has set since the key's last deletion.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

from pyspark.sql import Window
from pyspark.sql import functions as F

from lakehouse.errors import KeyMissingError
from lakehouse.lake.batch import CODE, SOURCE
from lakehouse.lake.frame import col, path, row_hash, sql_type
from lakehouse.lake.types import resolved
from lakehouse.write import auxiliary
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
    beside,
    dropped,
    keys,
    names,
    of_keys,
    order,
    payload,
)
from lakehouse.write.whole import DEAD, FLOOR, FORGOTTEN, LIVE, TOMB, WholeRows, floor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from lakehouse.spec.write import Scd1Write

UPDATES = "_updates"
SETS = "__sets"
_DEADLINE, _NTH, _IS_HELD, _WAS = "__deadline", "__nth", "__is_held", "__was"
_SEEN, _KNOWN, _CHANGES = "__seen", "__known", "__changes"


def told(batch: DataFrame, spec: Scd1Write) -> DataFrame:
    """The batch with what each event sets, and with the column that the table keeps about it.

    Raises:
        KeyMissingError: ``update_columns`` or ``ignore_null_updates`` names a column that is not there.
    """
    silent = spec.ignore_null_updates if isinstance(spec.ignore_null_updates, tuple) else ()
    for field, wanted in (("ignore_null_updates", silent), ("update_columns", (spec.update_columns,))):
        for name in wanted:
            if name is not None and resolved(batch.schema, name) is None:
                message = f"{spec.table}: {field} names {name}, which the rows do not have"
                raise KeyMissingError(message, hint=f"they have {', '.join(batch.columns)}")
    if spec.update_columns is None:
        batch = batch.withColumn(SETS, F.lit(None).cast("array<string>"))
    else:
        listed = F.array_sort(F.transform(path(batch, spec.update_columns), F.lower))
        batch = batch.withColumn(SETS, listed)
    sequence = [path(batch, name) for name in spec.sequence_by]
    event = order(batch, sequence, deleted=F.lit(False), columns=None)
    event_type = sql_type(batch.select(event.alias("it")).schema["it"].dataType)
    kind = f"struct<event: {event_type}, columns: map<string, {event_type}>>"
    return batch.withColumn(UPDATES, F.lit(None).cast(kind))


@dataclass(frozen=True)
class PartialRows(WholeRows):
    """As the fold of whole rows, column by column."""

    @property
    def _values(self) -> list[str]:
        """The columns that have an order of their own: all but the keys, which never change."""
        fixed = {name.lower() for name in self.spec.keys}
        return [name for name in self._payload if name.lower() not in fixed]

    @property
    def _payload(self) -> list[str]:
        return [name for name in payload(self.batch) if name != UPDATES]

    _TELLING: ClassVar[tuple[str, ...]] = (SETS,)

    def _judged(self, *, narrow: bool) -> DataFrame:  # noqa: ARG002 -- whole rows are needed here
        """The batch with the fate of each event, and the rows that its keys shall have."""
        every = Window.partitionBy(*names(self._count))
        nth = F.row_number().over(Window.partitionBy(*names(self._count), EVENT).orderBy(EVENT))
        ranked = self._events.withColumn(_NTH, nth)
        live = self._live(self._kind, narrow=False)
        known = self._with_known(ranked, live)
        # late events set nothing and delete nothing
        late = F.coalesce(F.col(f"{EVENT}.sequence") <= F.col(f"{FORGOTTEN}.sequence"), F.lit(False))
        deletion = F.max(F.when(F.col(DELETED), F.col(EVENT))).over(every)
        known = known.withColumns({"__late": late, _DEADLINE: F.greatest(DEAD, deletion)})
        rows = self._rows(known, live)
        decided = beside(known, rows.select(*names(self._count), _SEEN, _KNOWN, _CHANGES), self.size)
        decided = decided.withColumn(FATE, self._fate())
        heeded = F.col(DELETED) & (F.col(_NTH) == 1) & (F.col(EVENT) == F.col(_DEADLINE))
        decided = decided.withColumns(
            {
                ACTION: F.lit(None).cast("string"),
                OLD: F.lit(False),
                FILE: F.lit(None).cast("string"),
                REMEMBER: heeded & (F.col(DEAD).isNull() | (F.col(EVENT) > F.col(DEAD))),
                KIND: F.lit(auxiliary.EVENT_KIND),
                CODE: F.when(F.col(FATE) == "rejected", "LATE_EVENT"),
            }
        )
        parts = [decided, rows.where(F.col(ACTION).isNotNull()).withColumn(REMEMBER, F.lit(False))]
        if self.size.truncates:
            parts.append(self._last_truncate())
        together = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)
        engine = [*names(self._count), EVENT, FATE, ACTION, OLD, FILE, REMEMBER, KIND, CODE, *dropped(self.batch)]
        return together.select(*[col(name) for name in (*self._columns, *engine)])

    @property
    def _columns(self) -> list[str]:
        return payload(self.batch)

    def _live(self, kind: str, *, narrow: bool) -> DataFrame | None:  # noqa: ARG002 -- whole rows are needed here
        if self.held is None:
            return None
        table = self._near(self.held)
        sequence = [path(table, name) for name in self.spec.sequence_by]
        plain = order(table, sequence, deleted=F.lit(False), columns=self._payload).cast(kind)
        event = F.coalesce(F.col(f"{UPDATES}.event").cast(kind), plain)
        return table.select("*", *keys(table, self.spec.keys), event.alias(LIVE))

    def _sets(self, name: str) -> Column:
        """Whether an event of the batch says anything of a column."""
        spec = self.spec
        if name.lower() in {part.lower().split(".")[0] for part in (*spec.keys, *spec.sequence_by)} or name == SOURCE:
            return F.lit(True)
        listed = F.col(SETS).isNull() | F.array_contains(SETS, F.lit(name.lower()))
        silent = spec.ignore_null_updates
        if silent is True or (isinstance(silent, tuple) and name.lower() in {one.lower() for one in silent}):
            return listed & col(name).isNotNull()
        return listed

    def _rows(self, known: DataFrame, live: DataFrame | None) -> DataFrame:
        """The rows that the keys shall have, and what has to be done to the table for it."""
        heard = ~F.col(DELETED) & (F.col(_NTH) == 1) & ~F.col("__late")
        new = known.where(heard & _alive(F.col(EVENT)))
        orders = {name: F.when(self._sets(name), F.col(EVENT)) for name in self._values}
        nothing = F.lit(None)
        new = new.withColumns(
            {
                _IS_HELD: F.lit(False),
                _WAS: nothing.cast("bigint"),
                _KNOWN: nothing.cast(f"array<{self._kind}>"),
                FILE: nothing.cast("string"),
            }
        )
        parts = [self._stated(new, orders)]
        if live is not None:
            parts.append(self._held_rows(known, live))
        together = reduce(lambda one, other: one.unionByName(other), parts)
        folded = together.groupBy(*names(self._count)).agg(
            *[F.first(col(name)).alias(name) for name in self._payload if name not in self._values],
            *[F.max_by(col(name), F.col(order)).alias(name) for name, order in self._orders.items()],
            *[F.max(order).alias(order) for order in self._orders.values()],
            F.max(F.when(_alive(F.col(EVENT)), F.col(EVENT))).alias(EVENT),
            F.max(_IS_HELD).alias(OLD),
            F.max(_WAS).alias(_WAS),
            F.max(_KNOWN).alias(_KNOWN),
            F.max(FILE).alias(FILE),
        )
        folded = folded.withColumn(UPDATES, self._updates())
        lives = F.col(EVENT).isNotNull()
        differs = ~F.col(_WAS).eqNullSafe(row_hash(folded, [*self._payload, UPDATES]))
        action = F.when(lives & differs, PUT).when(~lives & F.col(OLD), REMOVE)
        orders_seen = F.array(*map(F.col, self._orders.values()))
        folded = folded.withColumn(ACTION, action)
        folded = folded.withColumns({_SEEN: orders_seen, _CHANGES: F.col(ACTION).isNotNull()})
        engine = [*names(self._count), ACTION, OLD, FILE, _SEEN, _KNOWN, _CHANGES]
        return folded.select(*[col(name) for name in (*self._columns, *engine)])

    @property
    def _orders(self) -> dict[str, str]:
        """Where the order of each column is."""
        return {name: f"__o{index}" for index, name in enumerate(self._values)}

    def _stated(self, rows: DataFrame, orders: Mapping[str, Column]) -> DataFrame:
        """Rows as what they say of each column, and when."""
        said = [orders[name].alias(alias) for name, alias in self._orders.items()]
        engine = [*names(self._count), EVENT, _DEADLINE, _IS_HELD, _WAS, _KNOWN, FILE]
        return rows.select(*[col(name) for name in (*self._payload, *engine)], *said)

    def _updates(self) -> Column:
        """What the table keeps about the orders: a column has one of its own unless it is the last event's.

        A column that is NULL and has none was set by no event since the key's last deletion.
        """
        entries = F.array(
            *[
                F.struct(F.lit(name).alias("key"), F.col(order).alias("value"), col(name).isNull().alias("is_null"))
                for name, order in self._orders.items()
            ]
        )
        own = F.filter(
            entries,
            lambda one: one["value"].isNotNull() & (~one["value"].eqNullSafe(F.col(EVENT)) | one["is_null"]),
        )
        columns = F.map_from_entries(F.transform(own, lambda one: F.struct(one["key"], one["value"])))
        kind = sql_type(self.batch.schema[UPDATES].dataType)
        return F.struct(F.col(EVENT).alias("event"), columns.alias("columns")).cast(kind)

    def _held_rows(self, known: DataFrame, live: DataFrame) -> DataFrame:
        """The table's rows of the keys, as what they say of each column."""
        count = self._count
        deadlines = known.groupBy(*names(count)).agg(F.max(_DEADLINE).alias(_DEADLINE))
        if self.size.truncates:
            # every row of the table may have columns from before the truncate
            held = beside(live, deadlines, self.size)
            held = held.crossJoin(F.broadcast(floor(self._truncates, self.remembered, self._kind)))
            held = held.withColumn(_DEADLINE, F.greatest(_DEADLINE, FLOOR))
        else:
            held = of_keys(live, deadlines.select(*names(count)), self.size)
            held = beside(held, deadlines, self.size)
        was = row_hash(held, [*self._payload, UPDATES])
        held = held.withColumns({EVENT: F.col(LIVE), _IS_HELD: F.lit(True), _WAS: was})
        orders = {}
        for name in self._values:
            own = F.element_at(F.col(f"{UPDATES}.columns"), F.lit(name)).cast(self._kind)
            orders[name] = F.coalesce(own, F.when(col(name).isNotNull(), F.col(EVENT)))
        held = held.withColumn(_KNOWN, F.array(*orders.values()))
        return self._stated(held, {name: F.when(_alive(order), order) for name, order in orders.items()})

    def _fate(self) -> Column:
        """What becomes of an event that is no truncate."""
        event, live, deleted = F.col(EVENT), F.col(LIVE), F.col(DELETED)
        sets_something = F.coalesce(F.array_contains(F.col(_SEEN), event), F.lit(False))
        alive = live.isNotNull() & (F.col(_DEADLINE).isNull() | (live > F.col(_DEADLINE)))
        before = F.col(_DEADLINE).isNotNull() & (event < F.col(_DEADLINE))
        return (
            F.when(F.col(_NTH) > 1, "duplicates")
            .when(event.eqNullSafe(live) | event.eqNullSafe(F.col(TOMB)), "unchanged")
            .when(F.col("__late") & ~deleted, "rejected")
            .when(before, "superseded")
            .when(deleted, F.when(live.isNotNull(), "deleted").otherwise("unchanged"))
            .when(~sets_something, "superseded")
            .when(~F.col(_CHANGES) | F.coalesce(F.array_contains(_KNOWN, event), F.lit(False)), "unchanged")
            .when(alive, "updated")
            .otherwise(F.when(F.col(RANK) == 1, "inserted").otherwise("updated"))
        )


def _alive(event: Column) -> Column:
    """Whether an event came after its key's last deletion."""
    return F.col(_DEADLINE).isNull() | (event > F.col(_DEADLINE))
