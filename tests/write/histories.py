"""Generated histories: what may come to a table, cut into batches, and what the table must then hold.

Every key of a table is a history of its own, so a few batches prove hundreds. The same seed makes the same histories.
``prove`` delivers them and compares the table with the oracle after each batch, as another reader than Spark sees it.
"""

from __future__ import annotations

import importlib.util
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

import duckdb
from pyspark.sql import DataFrame, SparkSession

from lakehouse.lake.batch import SOURCE, SOURCE_TYPE, Identity
from lakehouse.lake.frame import materialise, small_frame
from lakehouse.lake.place import Lake
from lakehouse.spec.write import AppendWrite, Scd1Write, Scd2Write, SnapshotWrite, Write
from lakehouse.write import write
from tests.write import oracle
from tests.write.oracle import Event, Key, Place

if TYPE_CHECKING:
    from lakehouse.write.commit import WriteResult

Rows = list[tuple[Any, ...]]
Batches = list[list[Event]]
Reader = Callable[[Path, str], Rows]

ODD = (
    "a", "A", "a ", " ", "", "null", "NULL", "a|b", "a,b", "'", '"', "`", "\\", "%", "é", "e\u0301", "日本", "😀", "\u0000",
    "\n", "${env:HOME}", "{}", "x" * 300, "$1", "ß", "ſ",
)  # fmt: skip
"""Texts that something in the way may take for something else."""


@dataclass(frozen=True)
class Column:
    """A column of the rows; ``pool`` is what it may hold. Structs and arrays are tuples."""

    name: str
    kind: str
    pool: tuple[Any, ...] = ()
    fields: tuple[str, ...] = ()

    def said(self, value: Any) -> Any:
        """The value as JSON says it."""
        if value is None:
            return None
        if self.fields:
            return dict(zip(self.fields, map(_plain, value), strict=True))
        return _plain(value)

    @property
    def read(self) -> str:
        """The column as DuckDB reads it with no need for time zones."""
        return f'make_timestamp(epoch_us("{self.name}"))' if self.kind == "timestamp" else f'"{self.name}"'


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return list(value)
    return value


NAME = Column("name", "string", (None, None, None, "", "a", "b", *ODD[4:21]))
AMOUNT = Column("amount", "decimal(12,2)", (None, Decimal("0.00"), Decimal("-1.50"), Decimal("9999999999.99")))
DAY = Column("day", "date", (None, date(1, 1, 1), date(1969, 12, 31), date(2024, 2, 29)))
RATIO = Column("ratio", "double", (None, 0.0, -0.0, 0.1, "NaN", 1e300))
AT = Column("at", "timestamp", (None, datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(2024, 3, 31, 1, 30)))
NOTE = Column("note", "struct<a:int,b:string>", (None, (None, None), (1, None), (None, "1"), (1, "ü")), ("a", "b"))
TAGS = Column("tags", "array<string>", (None, (), (None,), ("a", None), (None, "a"), ("a",), ("a|b",), ("a", "b")))
PAYLOAD = (NAME, AMOUNT, DAY, RATIO, AT, NOTE, TAGS)


@dataclass(frozen=True)
class Case:
    """A kind of table: how it is written, and what may come to it. ``place`` is what ``_source`` of its rows has."""

    name: str
    spec: Write
    keys: tuple[Column, ...]
    sequence: tuple[Column, ...] = ()
    payload: tuple[Column, ...] = PAYLOAD
    place: Literal["file", "topic"] | None = None
    truncates: int = 0

    @property
    def deletes(self) -> bool:
        """Whether an event may delete."""
        return getattr(self.spec, "apply_as_deletes", None) is not None

    @property
    def masks(self) -> str | None:
        """The column that lists what an event sets."""
        return getattr(self.spec, "update_columns", None)

    @property
    def schema(self) -> dict[str, str]:
        """The columns of the rows that are written."""
        columns = (*self.keys, *self.sequence, *self.payload)
        schema = {one.name: one.kind for one in columns}
        if self.deletes or self.truncates:
            schema["op"] = "string"
        if self.masks:
            schema[self.masks] = "array<string>"
        if self.place:
            schema[SOURCE] = SOURCE_TYPE
        return schema

    def row(self, event: Event, run: str) -> list[Any]:
        """The event as a row of ``schema``."""
        values = dict(event.values)
        row = [one.said(value) for one, value in zip(self.keys, event.key, strict=True)]
        row += [one.said(value) for one, value in zip(self.sequence, event.sequence, strict=bool(self.sequence))]
        row += [one.said(values.get(one.name)) for one in self.payload]
        if self.deletes or self.truncates:
            row.append({"upsert": None, "delete": "D", "truncate": "T"}[event.kind])
        if self.masks:
            row.append(None if event.sets is None else sorted(event.sets))
        if self.place:
            file, topic, partition, offset, position = event.place or (None,) * 5
            names = ("file", "topic", "partition", "offset", "position", "run_id")
            row.append(dict(zip(names, (file, topic, partition, offset, position, run), strict=True)))
        return row


def composite() -> tuple[Column, ...]:
    """Keys of four types."""
    return (
        Column("k1", "string"),
        Column("k-2", "int"),
        Column("K3", "date"),
        Column("k.4", "decimal(5,2)"),
    )


def key_of(number: int, keys: Sequence[Column]) -> Key:
    """The key of a history: odd texts, that differ in one part or another."""
    text, turn = ODD[number % len(ODD)], number // len(ODD)
    if len(keys) == 1:
        return (f"{text}{turn}",)
    return (text, turn, date(2024, 1, 1) + timedelta(number % 3), Decimal(number % 2) / 4 + Decimal("0.00"))


SMALL = Column("seq", "int", tuple(range(10)))
LETTER = Column("then", "string", ("", "B", "a"))
TIME = Column("changed", "timestamp", tuple(datetime(2024, 1, 1) + timedelta(microseconds=hop) for hop in range(10)))
DATE = Column("valid_on", "date", tuple(date(2024, 2, 25) + timedelta(days) for days in range(9)))
TEXT_KEY = (Column("größe.id", "string"),)
INT_KEY = (Column("ID", "int"),)
PART = Column("part", "string", (None, "x", "y=1/'z", "ü"))

CASES = {
    case.name: case
    for case in (
        Case(
            "append, told by source",
            AppendWrite(table="silver.t", mode="append", identity="source"),
            composite(),
            place="file",
        ),
        Case(
            "append, told by columns",
            AppendWrite(table="silver.t", mode="append", identity=tuple(one.name for one in composite())),
            composite(),
        ),
        Case(
            "scd1",
            Scd1Write(
                table="silver.t",
                mode="scd1",
                keys=("k1", "k-2", "K3", "k.4"),
                sequence_by=("seq", "then"),
                apply_as_deletes="op = 'D'",
                apply_as_truncates="op = 'T'",
                except_columns=("op",),
            ),
            composite(),
            (SMALL, LETTER),
            place="file",
            truncates=2,
        ),
        Case(
            "scd1, partitioned and with no place",
            Scd1Write(
                table="silver.t",
                mode="scd1",
                keys=("größe.id",),
                sequence_by=("changed",),
                apply_as_deletes="op = 'D'",
                except_columns=("op",),
                partition_by=("part",),
            ),
            TEXT_KEY,
            (TIME,),
            payload=(*PAYLOAD, PART),
        ),
        Case(
            "scd1, some NULLs say nothing",
            Scd1Write(
                table="silver.t",
                mode="scd1",
                keys=("größe.id",),
                sequence_by=("seq",),
                apply_as_deletes="op = 'D'",
                apply_as_truncates="op = 'T'",
                except_columns=("op",),
                ignore_null_updates=("name", "amount", "note", "tags"),
            ),
            TEXT_KEY,
            (SMALL,),
            place="topic",
            truncates=2,
        ),
        Case(
            "scd1, no NULL says anything",
            Scd1Write(
                table="silver.t",
                mode="scd1",
                keys=("k1", "k-2", "K3", "k.4"),
                sequence_by=("changed",),
                apply_as_deletes="op = 'D'",
                except_columns=("op",),
                ignore_null_updates=True,
            ),
            composite(),
            (TIME,),
        ),
        Case(
            "scd1, events name what they set",
            Scd1Write(
                table="silver.t",
                mode="scd1",
                keys=("k1", "k-2", "K3", "k.4"),
                sequence_by=("seq", "then"),
                apply_as_deletes="op = 'D'",
                apply_as_truncates="op = 'T'",
                except_columns=("op", "sets"),
                update_columns="sets",
            ),
            composite(),
            (SMALL, LETTER),
            place="file",
            truncates=1,
        ),
        Case(
            "scd2",
            Scd2Write(
                table="silver.t",
                mode="scd2",
                keys=("k1", "k-2", "K3", "k.4"),
                sequence_by=("seq", "then"),
                apply_as_deletes="op = 'D'",
                apply_as_truncates="op = 'T'",
                except_columns=("op",),
            ),
            composite(),
            (SMALL, LETTER),
            place="file",
            truncates=2,
        ),
        Case(
            "scd2, some columns tracked and an open end",
            Scd2Write(
                table="silver.t",
                mode="scd2",
                keys=("größe.id",),
                sequence_by=("valid_on",),
                apply_as_deletes="op = 'D'",
                apply_as_truncates="op = 'T'",
                except_columns=("op", "valid_on"),
                track_history=("name", "note", "ratio"),
                valid_from="from",
                valid_to="bis.zu",
                is_current="now?",
                open_end="9999-12-31",
            ),
            TEXT_KEY,
            (DATE,),
            truncates=1,
        ),
        Case(
            "scd2, all but some columns tracked",
            Scd2Write(
                table="silver.t",
                mode="scd2",
                keys=("größe.id",),
                sequence_by=("changed",),
                apply_as_deletes="op = 'D'",
                except_columns=("op",),
                track_history_except=("amount", "day", "ratio", "at", "tags"),
            ),
            TEXT_KEY,
            (TIME,),
            place="topic",
        ),
        Case(
            "snapshots by file, as scd1",
            SnapshotWrite(
                table="silver.t",
                mode="snapshot",
                keys=("k1", "k-2", "K3", "k.4"),
                snapshot_by="file",
                snapshot_as="scd1",
                max_delete_fraction=1,
            ),
            composite(),
            place="file",
        ),
        Case(
            "snapshots by a column, as scd1, nothing deleted",
            SnapshotWrite(
                table="silver.t",
                mode="snapshot",
                keys=("größe.id",),
                snapshot_by="valid_on",
                snapshot_as="scd1",
                on_absent="keep",
            ),
            TEXT_KEY,
            (DATE,),
        ),
        Case(
            "snapshots by a column, as scd2",
            SnapshotWrite(
                table="silver.t",
                mode="snapshot",
                keys=("größe.id",),
                snapshot_by="valid_on",
                snapshot_as="scd2",
                max_delete_fraction=1,
                track_history=("name", "note"),
            ),
            TEXT_KEY,
            (DATE,),
        ),
        Case(
            "snapshots by folder, as scd2, nothing deleted",
            SnapshotWrite(
                table="silver.t",
                mode="snapshot",
                keys=("k1", "k-2", "K3", "k.4"),
                snapshot_by="folder",
                snapshot_as="scd2",
                on_absent="keep",
            ),
            composite(),
            place="file",
        ),
    )
}


def batches_of(case: Case, seed: int, *, keys: int, cuts: int) -> Batches:
    """What comes to a table, cut into batches: mostly in order, some of it late, and some of it twice."""
    chance = random.Random(f"{case.name} {seed}")
    if isinstance(case.spec, SnapshotWrite):
        return _snapshots(case, chance, keys=keys, cuts=cuts)
    places = _places(case, chance, 12 * keys)
    events: list[Event] = []
    if isinstance(case.spec, AppendWrite):
        events = [
            Event(key_of(number, case.keys), (), _values(case, chance, []), place=places.pop())
            for number in range(keys)
        ]
    else:
        for number in range(keys):
            events += _history(case, key_of(number, case.keys), chance, places)
        empty = tuple((one.name, None) for one in case.payload)
        for sequence in chance.sample(_sequences(case)[: len(_sequences(case)) * 2 // 3], case.truncates):
            events.append(Event((None,) * len(case.keys), sequence, empty, "truncate", places.pop()))
    return _cut(events, chance, cuts)


def _history(case: Case, key: Key, chance: random.Random, places: list[Place | None]) -> list[Event]:
    """The events of one key, with the values of an earlier one again and again."""
    events: list[Event] = []
    taken = set()
    for _ in range(chance.choice((1, 2, 3, 4, 5, 6, 8))):
        sequence = chance.choice(_sequences(case))
        kind: Literal["upsert", "delete"] = "delete" if case.deletes and chance.random() < 0.2 else "upsert"
        if case.place is None and (sequence, kind) in taken:
            continue
        taken.add((sequence, kind))
        sets = None
        if case.masks and chance.random() < 0.7:
            sets = frozenset(chance.sample([one.name for one in case.payload], chance.randint(0, 4)))
        events.append(Event(key, sequence, _values(case, chance, events), kind, places.pop(), sets))
    return events


def _values(case: Case, chance: random.Random, earlier: list[Event]) -> oracle.Values:
    """New values, those of an earlier event, or those with one of them changed."""
    if not earlier or chance.random() < 0.3:
        return tuple((one.name, chance.choice(one.pool)) for one in case.payload)
    values = dict(chance.choice(earlier).values)
    if chance.random() < 0.5:
        other = chance.choice(case.payload)
        values[other.name] = chance.choice(other.pool)
    return tuple(values.items())


def _sequences(case: Case) -> list[tuple[Any, ...]]:
    combined: list[tuple[Any, ...]] = [()]
    for column in case.sequence:
        combined = [(*one, value) for one in combined for value in column.pool]
    return combined


def _places(case: Case, chance: random.Random, count: int) -> list[Place | None]:
    """Places that no two events share, in no order."""
    if case.place is None:
        return [None] * count
    made: list[Place | None] = [
        (f"in/{chance.choice('aBü')}{number % 7}.csv", None, None, None, number // 7)
        if case.place == "file"
        else (None, "orders", number % 3, number // 3, None)
        for number in range(count)
    ]
    chance.shuffle(made)
    return made


def _cut(events: list[Event], chance: random.Random, cuts: int) -> Batches:
    batches: Batches = [[] for _ in range(cuts)]
    steps = sorted({event.sequence for event in events})
    for event in events:
        in_time = steps.index(event.sequence) * cuts // len(steps)
        wanted = [in_time if chance.random() < 0.6 and len(steps) > 1 else chance.randrange(cuts)]
        while chance.random() < 0.15:
            wanted.append(chance.randrange(cuts))
        for number in wanted:
            batches[number].append(event)
    for batch in batches:
        chance.shuffle(batch)
    return batches


def _snapshots(case: Case, chance: random.Random, *, keys: int, cuts: int) -> Batches:
    """Whole snapshots in no order, one to three in a batch, one of them twice; keys come, go, and come again."""
    count = cuts + 3
    names = [one for (one,) in _sequences(case)[:count]] if case.sequence else [f"in/d={n:02}" for n in range(count)]
    of_name: dict[Any, list[Event]] = defaultdict(list)
    for number in range(keys):
        key, there = key_of(number, case.keys), True
        own: list[Event] = []
        for name in names:
            there = there if chance.random() < 0.7 else not there
            for _ in range((1 + (case.place is not None and chance.random() < 0.1)) * there):
                place = _of_snapshot(case, name, len(of_name[name]))
                event = Event(key, (place[0] if place and not _by_folder(case) else name,), _values(case, chance, own))
                own.append(replace(event, place=place))
                of_name[name].append(own[-1])
    order = sorted(names, key=lambda name: names.index(name) + chance.uniform(0, 4))
    batches: Batches = [[] for _ in range(cuts)]
    for turn, name in enumerate(order):
        batches[min(turn, turn * cuts // count)] += of_name[name]
    batches[-1] += of_name[order[1]]
    for batch in batches:
        chance.shuffle(batch)
    return batches


def _by_folder(case: Case) -> bool:
    return isinstance(case.spec, SnapshotWrite) and case.spec.snapshot_by == "folder"


def _of_snapshot(case: Case, name: Any, number: int) -> Place | None:
    if case.place is None:
        return None
    file = f"{name}/{number % 3}.csv" if _by_folder(case) else f"{name}.csv"
    return (file, None, None, None, number)


def columns(case: Case) -> str:
    """What of the table is compared, as SQL: all but what the library keeps for itself."""
    spec = case.spec
    chosen = [one.read for one in case.keys]
    if isinstance(spec, Scd1Write):
        chosen += [one.read for one in case.sequence]
    chosen += [one.read for one in case.payload]
    if _versioned(spec):
        kind = case.sequence[0].kind if len(case.sequence) == 1 else ""
        chosen += [Column(name, kind).read for name in (spec.valid_from, spec.valid_to)] + [f'"{spec.is_current}"']
    if _places_told(case):
        chosen += [f"{SOURCE}.{name}" for name in ("file", "topic", "partition", "offset", "position")]
    return ", ".join(chosen)


def _versioned(spec: Write) -> TypeGuard[Scd2Write | SnapshotWrite]:
    return isinstance(spec, Scd2Write) or getattr(spec, "snapshot_as", "") == "scd2"


def _places_told(case: Case) -> bool:
    """Whether docs/writes.md says whose ``_source`` a row has."""
    partial = case.masks or getattr(case.spec, "ignore_null_updates", False)
    return case.place is not None and not partial and not isinstance(case.spec, SnapshotWrite)


def fold(case: Case, events: Iterable[Event]) -> Rows:
    """What ``columns`` of the table must be, in no order."""
    spec = case.spec
    if isinstance(spec, AppendWrite):
        told = oracle.append(events, lambda one: one.place or one.key)
        return [_row(case, one.key, (), one.values, one.place) for one in told]
    if isinstance(spec, SnapshotWrite):
        events = oracle.of_snapshots(events, on_absent=spec.on_absent)
    if _versioned(spec):
        return [_version(case, one) for one in oracle.scd2(events, tracked=_tracked(case, spec))]
    ignored = getattr(spec, "ignore_null_updates", False)
    names = [one.name for one in case.payload] if ignored is True else ignored or ()
    sequenced = isinstance(spec, Scd1Write)
    return [
        _row(case, one.key, one.sequence if sequenced else (), one.values, one.place)
        for one in oracle.scd1(events, ignore_null=names).values()
    ]


def _tracked(case: Case, spec: Scd2Write | SnapshotWrite) -> list[str]:
    payload = [one.name for one in case.payload]
    return [name for name in spec.track_history or payload if name not in spec.track_history_except]


def _version(case: Case, one: oracle.Version) -> tuple[Any, ...]:
    start, end = (bound[0] if bound and len(bound) == 1 else bound for bound in (one.start, one.end))
    open_end = getattr(case.spec, "open_end", None)
    if end is None and open_end:
        end = date.fromisoformat(open_end)
    return _row(case, one.key, (), (*one.values, ("", start), ("", end), ("", one.end is None)), one.place)


def _row(
    case: Case, key: Key, sequence: tuple[Any, ...], values: oracle.Values, place: Place | None
) -> tuple[Any, ...]:
    row = (*key, *sequence, *(value for _, value in values), *((place or ()) if _places_told(case) else ()))
    return tuple(map(comparable, row))


def comparable(value: Any) -> Any:
    """A value as both the oracle and a reader can say it."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        return tuple(map(comparable, value))
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    return value


def duckdb_reader() -> Reader:
    """The rows of a table's folder as DuckDB reads them, in no order."""
    spec = importlib.util.find_spec("duckdb_extension_delta")
    assert spec
    assert spec.submodule_search_locations
    extension = next(Path(spec.submodule_search_locations[0]).rglob("delta.duckdb_extension"))
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    connection.execute(f"LOAD '{extension}'")

    def rows(folder: Path, chosen: str = "*") -> Rows:
        return connection.sql(f"SELECT {chosen} FROM delta_scan('{folder}')").fetchall()

    return rows


@dataclass
class Proof:
    """A table that histories are delivered to, and what has come to it so far."""

    case: Case
    spark: SparkSession
    folder: Path
    read: Reader
    came: list[Event] = field(default_factory=list)
    rows: int = 0

    def frame(self, events: list[Event], run: str) -> DataFrame:
        """The events as the rows of a batch."""
        return small_frame(self.spark, [self.case.row(event, run) for event in events], self.case.schema)

    def write(self, events: list[Event], number: int, *, stream: str = "stream") -> WriteResult:
        """Write a batch."""
        identity = Identity("job", f"run {number}", stream, number, rows={"read": len(events)})
        target = Lake(str(self.folder)).table(self.case.spec.table)
        return write(materialise(self.frame(events, f"run {number}")), self.case.spec, target=target, identity=identity)

    def deliver(self, events: list[Event], number: int, *, stream: str = "stream") -> WriteResult:
        """Write a batch, hold the counts against it and the table against the fold of all that came."""
        made = self.write(events, number, stream=stream)
        self.came += events
        found = self.found()
        if not made.replayed:
            assert made.rows == len(events), f"{len(events)} rows came, and {made} counts {made.rows}"
            change = len(found) - self.rows
            assert made.rows_added - made.rows_removed == change, f"{made}, and the table grew by {change} rows"
        self.rows = len(found)
        if wrong := differences(self.case, self.came, found):
            raise AssertionError(f"after batch {number} ({made}):\n{wrong}")
        return made

    def found(self) -> Rows:
        """The table as it is."""
        path = self.folder / self.case.spec.table.replace(".", "/")
        return [tuple(map(comparable, row)) for row in self.read(path, columns(self.case))]

    def version(self) -> int:
        """The table's newest version, as its log says."""
        log = self.folder / self.case.spec.table.replace(".", "/") / "_delta_log"
        return max(int(file.stem) for file in log.glob("*.json") if file.stem.isdigit())


def differences(case: Case, came: Sequence[Event], found: Rows) -> str:
    """What is wrong with a table, for three keys: what came to them in turn, what must be there, and what is there."""
    width = len(case.keys)
    have, want = (_by_key(rows, width) for rows in (found, fold(case, came)))
    wrong = sorted((key for key in have.keys() | want.keys() if have[key] != want[key]), key=repr)
    told = [f"{len(wrong)} of {len(have.keys() | want.keys())} keys differ"] if wrong else []
    for key in wrong[:3]:
        of_all = [event for event in came if event.key == key or event.kind == "truncate"]
        told += [f"key {key}", *(f"  came     {event}" for event in of_all)]
        told += [f"  expected {row[width:]}" for row in want[key]] + [f"  found    {row[width:]}" for row in have[key]]
    return "\n".join(told)


def _by_key(rows: Rows, width: int) -> dict[Key, Rows]:
    of_key: dict[Key, Rows] = defaultdict(list)
    for row in sorted(rows, key=repr):
        of_key[row[:width]].append(row)
    return of_key


def prove(case: Case, seed: int, *, keys: int, cuts: int, spark: SparkSession, folder: Path, read: Reader) -> int:
    """Deliver generated histories and hold the table against the oracle; how many batches were written.

    Then any batch again changes nothing, and what came so far changes nothing under another name.

    Raises:
        AssertionError: the table is not the fold of what came, or a count is wrong.
    """
    chance = random.Random(seed)
    batches = batches_of(case, seed, keys=keys, cuts=cuts)
    proof = Proof(case, spark, folder, read)
    for number, batch in enumerate(batches):
        proof.deliver(batch, number)
    version = proof.version()

    again = chance.randrange(cuts)
    assert proof.deliver(batches[again], again).version is not None
    assert proof.version() == version, f"batch {again}, delivered again, made a commit"

    prefix = [event for batch in batches[: chance.randint(1, cuts)] for event in batch]
    chance.shuffle(prefix)
    made = proof.deliver(prefix, 0, stream="another checkpoint")
    assert made.is_empty, f"what had come before changed the table: {made}"
    assert (made.inserted, made.updated, made.deleted) == (0, 0, 0), f"what had come before was counted as new: {made}"
    assert proof.version() == version, "what had come before made a commit"
    return cuts + 2
