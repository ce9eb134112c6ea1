"""Debezium's messages: the row that a change left, what the change was, and where it stands in the database's log.

**The order.** ``_change.sequence`` sorts as text in the order of the changes of a key. It is not made of ``ts_ms``:
the one in ``source`` is the time of a commit, which many changes share, by a clock that may step back; the one beside
it says when the connector came by, and is another one after a restart.

- PostgreSQL: ``1-<commit before>-<0 or 1>-<lsn>``. A snapshot shows what was committed, while the log holds changes of
  transactions that commit later: they may have an ``lsn`` below that of the snapshot, and are newer. So the last commit
  that the connector had seen goes first (from ``source.sequence``), then whether it is a row of a snapshot (0). A row
  of an incremental snapshot is one of the stream (1): the connector puts it where it belongs.
- MySQL and MariaDB: ``1-<number of the binlog>-<pos>-<row>``. Another server's binlogs are counted anew.
- Where there is none of it: ``0-<offset in Kafka>``, the order of a key's changes as long as they are in one partition.
  That is other connectors, and flat messages unless every one of them tells its place, deletes too: only those of
  ``delete.tombstone.handling.mode: rewrite`` do. Any place in a log comes after any offset.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DecimalType, IntegralType

from lakehouse.errors import ConfigError
from lakehouse.lake.batch import CODE, MESSAGE, SKIP, TOLD
from lakehouse.lake.frame import col, literal, quoted
from lakehouse.lake.statements import expression
from lakehouse.read.payload.connect_json import FIELDS, alone, fields_of, opened, unmarked, with_parts
from lakehouse.read.payload.connect_types import DECIMAL, Value, kind_of, safe, said_by, with_said
from lakehouse.read.payload.json import STRICT
from lakehouse.read.payload.keys import key_document
from lakehouse.read.scan import message_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

    from lakehouse.spec.kafka import Debezium, KeyColumn

CHANGE = "_change"
"""What the change was: ``op`` (c, u, d, r, t), ``sequence``, ``set`` (the columns that it tells; NULL: all) …"""

SHAPES = {
    "heartbeat": ("ts_ms",),
    "transaction": ("status", "id", "event_count"),
    "schema_change": ("databaseName", "ddl"),
    "logical_message": ("op", "source", "message"),
}
"""The fields by which messages are known that are no rows; a heartbeat has no other."""

SKIPS = ("tombstone", *SHAPES)
"""Why a message is no row."""

MESSAGES = {
    "VALUE_ENCODING": "the value is not UTF-8",
    "MALFORMED_JSON": "the value is not one JSON object",
    "DUPLICATE_JSON_KEY": "a name stands twice in the row",
    "NOT_AN_ENVELOPE": "the value has no op: if it is the row itself, say debezium: {flat: true}",
    "UNKNOWN_OPERATION": "op is none of c, u, d, r, t",
    "CHANGE_WITHOUT_ROW": "there is no row in the change",
    "UNKNOWN_FIELD": "a field of the row is not declared",
    "JSON_TYPE": "a value is not what its type says, or beyond what can be read of it",
    "CHANGE_WITHOUT_KEY": (
        "neither the row nor the record's key says what was deleted: if the key is a plain value, say key_column"
    ),
    "CHANGE_WITHOUT_POSITION": (
        "no place in the database's log, by which such changes are put in order: "
        "debezium: {order: offset} takes Kafka's offset"
    ),
}

_OPERATIONS = ("c", "u", "d", "r", "t")
_LOGS = ("postgresql", "mysql", "mariadb")
_SOURCE = (
    *("connector", "snapshot", "sequence", "lsn", "file", "pos", "row"),
    *("txId", "gtid", "ts_us", "ts_ms", "db", "schema", "table"),
)
"""What is taken of an envelope's ``source``."""

_FLAT = {name: (f"__source_{name}", *(() if name.startswith("ts_") else (f"__{name}",))) for name in _SOURCE}
"""The same in a flat message, by the names that ``add.fields`` gives; a plain ``__ts_ms`` is the connector's clock."""

READ = ("__doc", "__doc_key", "__fault", "__fault_said", "__names", "__fields", "__fields_key")
"""What ``decoded`` is given of a message, beside what there is of each; see ``as_read``."""


def as_read(messages: DataFrame, key_column: KeyColumn | None = None) -> DataFrame:
    """Messages in JSON as ``decoded`` takes them.

    That is with the value and the key as JSON (``__doc``, ``__doc_key``; NULL: there is none), why the value is none
    (``__fault``, and ``__fault_said`` in words); and, where the format tells them, the names of the value's fields
    (``__names``) and the types of the row and of the key (``__fields``, ``__fields_key``). ``key_column``: the column
    that a key is which is a plain value.
    """
    key, none = F.col("__key").cast("string"), F.lit(None).cast("string")
    key = key_document(key_column) if key_column else F.when(F.is_valid_utf8(key), key)
    fault = F.when(F.col("__value").isNotNull() & F.col("__text").isNull(), "VALUE_ENCODING")
    texts = [F.col("__text"), key, fault, none]
    types = [F.lit(None).cast(kind) for kind in ("array<string>", FIELDS, FIELDS)]
    return messages.withColumns(dict(zip(READ, [*texts, *types], strict=True)))


def decoded(
    messages: DataFrame,
    declared: Mapping[str, DataType],
    form: Debezium,
    *,
    unknown: str = "quarantine",
    rescue: str | None = None,
) -> DataFrame:
    """The messages with the declared columns of their rows, with ``_change`` and with ``__skip``.

    The columns are text that needs no type any more (see ``connect_types``), but for bytes and for what has parts.
    Each message is read by its own schema block, where it has one.

    Args:
        messages: see the package, and ``as_read``.
        declared: the columns and their types.
        form: what the messages do not say themselves.
        unknown: what a field that is not declared does: ``quarantine`` the message, or ``ignore``.
        rescue: a column for such fields, by their names, each as its text.

    Raises:
        ConfigError: no column is declared, ``types`` names one that is not, or the parts of a type are nowhere told.
    """
    _fitting(declared, form)
    names, frame = list(declared), _with_body(messages)
    frame = _flat(frame) if form.flat else _enveloped(frame)
    if form.order == "offset":
        frame = frame.withColumn("__sequence", _offset())
    frame = _typed(_with_texts(frame, names, form), declared, form)
    known = F.array(*map(F.lit, names)).cast("array<string>")
    strange = F.array_except("__row_keys", known)
    if form.flat:
        strange = F.filter(strange, lambda name: ~name.startswith("__"))
    frame = frame.withColumns({"__strange": strange, "__wrong": _wrong(declared), SKIP: _skip(names, flat=form.flat)})
    frame = frame.withColumn(CODE, _code(known, names, strict=unknown == "quarantine" and not rescue))
    good = F.col(CODE).isNull() & F.col(SKIP).isNull()
    columns = [
        F.when(good, _column(F.col(f"__c{index}"), kind)).alias(name)
        for index, (name, kind) in enumerate(declared.items())
    ]
    if rescue:
        every = F.from_json("__image", "map<string,string>")
        others = F.map_filter(every, lambda name, _: F.array_contains("__strange", name))
        frame = frame.withColumn("__others", others)
        others = expression(f"transform_values(__others, (name, value) -> {unmarked('value')})")
        columns.append(F.when(good & (F.size("__strange") > 0), others).alias(rescue))
    detail = (
        F.when(F.col(CODE) == "JSON_TYPE", F.array_join("__wrong", ", "))
        .when(F.col(CODE) == "UNKNOWN_FIELD", F.array_join("__strange", ", "))
        .when(F.col(CODE) == "UNKNOWN_OPERATION", F.col("__op"))
    )
    message = F.when(F.col(CODE).isNotNull(), F.concat_ws(": ", message_of(F.col(CODE), MESSAGES), detail))
    message = F.when(F.col("__fault").isNull(), message).otherwise(F.coalesce("__fault_said", message))
    kept = [col(name) for name in messages.columns if name not in READ]
    change = F.when(good, _change(known)).alias(CHANGE)
    return frame.select(*kept, *columns, change, CODE, message.alias(MESSAGE), SKIP, _told_columns(known).alias(TOLD))


def _fitting(declared: Mapping[str, DataType], form: Debezium) -> None:
    if not declared:
        message = "Debezium's rows need a contract with columns: what it does not declare cannot be judged"
        raise ConfigError(message, hint="declare the columns of the table that the connector reads")
    for name in form.types:
        if name not in declared:
            message = f"debezium.types names {name}, which the contract does not declare"
            raise ConfigError(message, hint=f"it declares {', '.join(declared)}")
    for name, kind in declared.items():
        if kind_of(kind) == "other" and not safe(kind):
            message = (
                f"{name} is declared as {kind.simpleString()}: nothing in the messages tells the types of its parts"
            )
            raise ConfigError(message, hint="declare string, which is its JSON, and take that apart in transform()")


def _with_body(messages: DataFrame) -> DataFrame:
    frame = opened(messages, ("", "_key"))
    is_whole = F.coalesce(F.substring("__doc", 1, 64).rlike(r"^\s*\{"), F.lit(False)) & alone(F.col("__doc"))
    return frame.withColumns({"__gone": F.col("__body").isNull() & F.col("__fault").isNull(), "__is_whole": is_whole})


def _enveloped(frame: DataFrame) -> DataFrame:
    source = ", ".join(f"{quoted(name)}: string" for name in _SOURCE)
    schema = "op string, before string, after string, transaction struct<id: string>, __corrupt string"
    schema = f"{schema}, source struct<{source}>"
    frame = frame.withColumn("__envelope", F.from_json("__body", schema, STRICT))
    op = F.col("__envelope.op")
    is_change = F.coalesce(op.isin(*_OPERATIONS), F.lit(False))
    columns = {
        "__op": op,
        "__is_broken": op.isNull() & F.col("__envelope.__corrupt").isNotNull(),
        "__keys": F.coalesce("__names", F.json_object_keys(F.when(~is_change, F.col("__body")))),
        "__image": F.when(op == "d", F.col("__envelope.before")).otherwise(F.col("__envelope.after")),
        "__source_of": F.col("__envelope.source"),
        "__transaction": F.col("__envelope.transaction.id"),
        "__types": F.coalesce("__fields", fields_of(F.col("__block"), within="after")),
    }
    frame = _placed(frame.withColumns(columns))
    in_log = F.col("__source_of.connector").isin(*_LOGS)
    return frame.withColumn("__sequence", F.when(in_log, F.col("__place")).otherwise(F.coalesce("__place", _offset())))


def _flat(frame: DataFrame) -> DataFrame:
    names = ["__op", "__deleted", "__transaction_id", *(name for some in _FLAT.values() for name in some)]
    schema = ", ".join(f"{quoted(name)} string" for name in names)
    frame = frame.withColumn("__keys", F.coalesce("__names", F.json_object_keys("__body")))
    told = F.when(F.exists("__keys", lambda name: name.startswith("__")), F.col("__body"))
    frame = frame.withColumn("__beside", F.from_json(told, schema, STRICT))
    source = [
        F.coalesce(*[F.col(f"__beside.{one}") for one in some], F.lit(None)).alias(name) for name, some in _FLAT.items()
    ]
    deleted = F.col("__gone") | F.coalesce(F.col("__beside.__deleted") == "true", F.lit(False))
    columns = {
        "__op": F.when(deleted, "d").otherwise(F.coalesce("__beside.__op", F.lit("u"))),
        "__is_broken": F.lit(False),
        "__image": F.col("__body"),
        "__source_of": F.struct(*source),
        "__transaction": F.col("__beside.__transaction_id"),
        "__types": F.coalesce("__fields", fields_of(F.col("__block"))),
    }
    frame = _placed(frame.withColumns(columns))
    places = F.array(*[F.lit(one) for name in ("lsn", "sequence", "pos") for one in _FLAT[name]])
    in_log = F.array_contains("__keys", "__deleted") & F.arrays_overlap("__keys", places)
    return frame.withColumn("__sequence", F.when(in_log, F.col("__place")).otherwise(_offset()))


def _placed(frame: DataFrame) -> DataFrame:
    """The frame with the place in the log, NULL where it is not told; the module says how it is made."""
    source = {name: F.col(f"__source_of.{name}") for name in _SOURCE}
    pair = [F.regexp_extract(source["sequence"], r'^\[(?:"([0-9]+)"|null),"([0-9]+)"\]$', index) for index in (1, 2)]
    at = F.coalesce(source["lsn"], F.nullif(pair[1], F.lit("")))
    in_stream = (F.col("__op") != "r") | (source["snapshot"] == "incremental")
    parts = {
        "__before": F.coalesce(F.nullif(pair[0], F.lit("")), at),
        "__at": at,
        "__file": F.regexp_extract(source["file"], r"\.([0-9]+)$", 1),
        "__pos": source["pos"],
        "__nth": F.coalesce(source["row"], F.lit("0")),
    }
    frame = frame.withColumns({name: _padded(part) for name, part in parts.items()})
    of_stream = F.when(in_stream, F.lit("1")).otherwise(F.lit("0"))
    postgresql = _joined(F.lit("1"), F.col("__before"), of_stream, F.col("__at"))
    return frame.withColumn(
        "__place", F.coalesce(postgresql, _joined(F.lit("1"), *map(F.col, ("__file", "__pos", "__nth"))))
    )


def _joined(*parts: Column) -> Column:
    """The parts with hyphens between, NULL if one of them is."""
    return F.concat(*[piece for part in parts for piece in (F.lit("-"), part)][1:])


def _padded(digits: Column) -> Column:
    return F.when(digits.rlike("^[0-9]{1,20}$"), F.lpad(digits, 20, "0"))


def _offset() -> Column:
    return _joined(F.lit("0"), _padded(F.col("__offset").cast("string")))


def _with_texts(frame: DataFrame, names: Sequence[str], form: Debezium) -> DataFrame:
    """The frame with the text of each column (``__t<index>``): of the row, or of the record's key where that lacks it.

    What is many times the number of columns is SQL: Python takes long to build it.
    """
    schema = ", ".join([*(f"{quoted(name)} string" for name in names), "__corrupt string"])
    keys = F.json_object_keys("__image")
    written = F.when(F.col("__fields").isNull(), keys).otherwise(F.array_intersect(keys, F.col("__fields")["field"]))
    frame = frame.withColumns({"__row": F.from_json("__image", schema, STRICT), "__row_keys": written})
    by_key = (F.col("__op") == "d") | F.col("__row_keys").isNull() | (F.size("__row_keys") < len(names))
    frame = frame.withColumn("__by_key", F.coalesce(by_key, F.lit(True)))
    key = F.when(F.col("__by_key"), F.col("__body_key"))
    marks = placeholders(form.unavailable)
    hides = reduce(
        lambda one, other: one | other, (F.col("__image").contains(mark) for mark in _cores(form.unavailable))
    )
    columns = {
        "__key_row": F.from_json(key, schema, STRICT),
        "__key_keys": F.json_object_keys(key),
        "__hides": F.coalesce(hides, F.lit(False)),
    }
    frame = frame.withColumns(columns)
    listed, texts, hidden = ", ".join(map(literal, marks)), {}, []
    for index, name in enumerate(map(quoted, names)):
        own = f"CASE WHEN NOT __hides OR __row.{name} NOT IN ({listed}) THEN __row.{name} END"
        text = f"coalesce({own}, __key_row.{name})"
        texts[f"__t{index}"] = expression(unmarked(text))
        hidden.append(f"CASE WHEN __row.{name} IN ({listed}) THEN {literal(names[index])} END")
    none = "CAST(array() AS array<string>)"
    texts["__hidden"] = expression(f"CASE WHEN __hides THEN array_compact(array({', '.join(hidden)})) ELSE {none} END")
    return frame.withColumns(texts)


def _typed(frame: DataFrame, declared: Mapping[str, DataType], form: Debezium) -> DataFrame:
    """The frame with what each text says (``__c<index>``).

    Where no schema block tells the types they are known by now. Blocks may differ from one message to the next.
    """
    of_key = F.coalesce("__fields_key", fields_of(F.col("__block_key")))
    frame = frame.withColumn("__types_key", F.when(F.col("__by_key"), of_key))
    is_typed = F.col("__is_block") | F.col("__fields").isNotNull()
    frame = frame.withColumns({"__is_typed": is_typed, "__by_block": is_typed | F.col("__types_key").isNotNull()})
    told = {name: _told(name, kind, form) for name, kind in declared.items()}
    values = []
    for index, (name, kind) in enumerate(declared.items()):
        places = [
            f"get(__types{part}, int(array_position(__types{part}.field, {literal(name)})) - 1)"
            for part in ("", "_key")
        ]
        kind_told, scale = ("CAST(NULL AS string)" if one is None else literal(str(one)) for one in told[name])
        conf = (
            f"CASE WHEN NOT __is_typed THEN named_struct('field', '', 'type', {kind_told}, 'name', {kind_told}, "
            f"'parameters', named_struct('scale', {scale})) END"
        )
        own, other = f"coalesce({places[0]}, {conf})", f"coalesce({places[1]}, {places[0]}, {conf})"
        field = f"CASE WHEN __row.{quoted(name)} IS NOT NULL THEN {own} ELSE {other} END"
        values.append(f"named_struct('text', __t{index}, 'type', {field}, 'wanted', '{kind_of(kind)}')")
    frame = frame.withColumn("__values", expression(f"CASE WHEN __by_block THEN array({', '.join(values)}) END"))
    said = said_by("one.text", "coalesce(one.type.name, one.type.type)", "one.type.parameters.scale", "one.wanted")
    # looked at twice, so that Spark does not build it within the slower transform
    frame = frame.withColumns(
        {"__said": expression(f"transform(__values, one -> {said})"), "__by_block": F.col("__values").isNotNull()}
    )
    known = {
        f"__c{index}": Value(f"__t{index}", *told[name], kind_of(kind))
        for index, (name, kind) in enumerate(declared.items())
    }
    columns = {
        name: F.when(F.col("__by_block"), F.get("__said", F.lit(index))).otherwise(F.col(name))
        for index, name in enumerate(known)
    }
    frame = with_said(frame, known).withColumns(columns)
    kinds = zip(columns, declared.values(), strict=True)
    inner = {name: with_parts(F.col(name), kind) for name, kind in kinds if _has_parts(kind)}
    # Spark Connect takes no empty list of columns
    return frame.withColumns(inner) if inner else frame


def _told(name: str, kind: DataType, form: Debezium) -> tuple[str | None, int | None]:
    """The type of a column as the job's conf has it, and the scale of a decimal."""
    scale = kind.scale if isinstance(kind, DecimalType) else 0 if isinstance(kind, IntegralType) else None
    by_mode = DECIMAL if isinstance(kind, DecimalType) and form.decimals == "base64" else None
    return form.types.get(name, by_mode), scale


def _has_parts(kind: DataType) -> bool:
    return kind_of(kind) == "other" and not isinstance(kind, BooleanType)


def _column(value: Column, kind: DataType) -> Column:
    if kind_of(kind) == "bytes":
        return F.try_to_binary(value, F.lit("base64"))
    return value["v"] if _has_parts(kind) else value


def _wrong(declared: Mapping[str, DataType]) -> Column:
    """The columns whose values are not what their types say."""
    lost = []
    for index, (name, kind) in enumerate(declared.items()):
        fault = f"__c{index}.__corrupt IS NOT NULL" if _has_parts(kind) else f"__c{index} IS NULL"
        lost.append(f"CASE WHEN __t{index} IS NOT NULL AND {fault} THEN {literal(name)} END")
    return expression(f"array_compact(array({', '.join(lost)}))")


def _skip(names: Sequence[str], *, flat: bool) -> Column:
    """Why a message is no row; one whose fields the contract of flat rows declares is one."""
    found = F.when(F.col("__gone"), F.lit(None if flat else "tombstone"))
    for reason, fields in SHAPES.items():
        if flat and set(fields) <= set(names):
            continue
        same = F.size(F.array_intersect("__keys", F.array(*map(F.lit, fields)))) == len(fields)
        alone = (F.size("__keys") == 1) if reason == "heartbeat" else F.lit(True)
        found = found.when(F.col("__is_whole") & same & alone, reason)
    return found


def _code(known: Column, names: Sequence[str], *, strict: bool) -> Column:
    """What is wrong with a message that is a row."""
    op, row_keys = F.col("__op"), F.col("__row_keys")
    no_row = row_keys.isNull() & (op.isin("c", "u", "r") | F.col("__image").isNotNull())
    return (
        F.when(F.col(SKIP).isNotNull(), F.lit(None).cast("string"))
        .when(F.col("__fault").isNotNull(), F.col("__fault"))
        .when(~F.col("__gone") & (~F.col("__is_whole") | F.col("__is_broken")), "MALFORMED_JSON")
        .when(op.isNull(), "NOT_AN_ENVELOPE")
        .when(~op.isin(*_OPERATIONS), "UNKNOWN_OPERATION")
        .when(~F.col("__gone") & no_row, "CHANGE_WITHOUT_ROW")
        .when(F.col("__row.__corrupt").isNotNull(), "MALFORMED_JSON")
        .when(F.size(F.array_distinct(row_keys)) < F.size(row_keys), "DUPLICATE_JSON_KEY")
        .when(F.lit(strict) & (F.size("__strange") > 0), "UNKNOWN_FIELD")
        .when(F.size("__wrong") > 0, "JSON_TYPE")
        .when((op == "d") & _keyless(known, names), "CHANGE_WITHOUT_KEY")
        .when(F.col("__sequence").isNull(), "CHANGE_WITHOUT_POSITION")
    )


def _keyless(known: Column, names: Sequence[str]) -> Column:
    """Whether a part of the key is nowhere told; without a key in the record, whether nothing is."""
    none = F.array().cast("array<string>")
    lacking = [f"CASE WHEN __t{index} IS NULL THEN {literal(name)} END" for index, name in enumerate(names)]
    empty = expression(f"array_compact(array({', '.join(lacking)}))")
    of_key = F.array_intersect(known, F.coalesce("__key_keys", none))
    return F.arrays_overlap(empty, of_key) | ((F.size(of_key) == 0) & (F.size(empty) == len(names)))


def _told_columns(known: Column) -> Column:
    """What NOT NULL is asked of: of a deletion and a truncate nothing, as they tell no more than the key, if that."""
    hidden = F.when(F.size("__hidden") > 0, F.array_except(known, "__hidden"))
    return F.when(F.col("__op").isin("d", "t"), F.array().cast("array<string>")).otherwise(hidden)


def _change(known: Column) -> Column:
    source, none = {name: F.col(f"__source_of.{name}") for name in _SOURCE}, F.array().cast("array<string>")
    own = F.array_except(F.coalesce("__row_keys", none), "__hidden")
    told = F.array_intersect(known, F.array_union(own, F.coalesce("__key_keys", none)))
    # no set is made of the names where they are as many as they should be, and none is unknown
    whole = (F.size("__row_keys") == F.size(known)) & (F.size("__strange") == 0) & (F.size("__hidden") == 0)
    millis = F.try_multiply(source["ts_ms"].try_cast("bigint"), F.lit(1000))
    return F.struct(
        F.col("__op").alias("op"),
        F.col("__sequence").alias("sequence"),
        F.when(~F.coalesce(whole, F.lit(False)) & (F.size(told) < F.size(known)), told).alias("set"),
        F.timestamp_micros(F.coalesce(source["ts_us"].try_cast("bigint"), millis)).alias("committed_at"),
        F.coalesce("__transaction", source["gtid"], source["txId"]).alias("transaction"),
        F.nullif(F.concat_ws(".", F.coalesce(source["schema"], source["db"]), source["table"]), F.lit("")).alias(
            "table"
        ),
    )


def placeholders(text: str) -> list[str]:
    """What the connector writes for a value that it was not told, by the type of the column: see its documentation.

    That is the text, its base64 for bytes, arrays of either, of its bytes as numbers, or of a UUID of it, and a map of
    it to itself.
    """
    told, encoded, numbers, name = _cores(text)
    return [told, encoded, f'["{told}"]', f'["{encoded}"]', f"[{numbers}]", f'["{name}"]', f'{{"{told}":"{told}"}}']


def _cores(text: str) -> tuple[str, str, str, str]:
    raw = text.encode()
    name = uuid.UUID(bytes=hashlib.md5(raw, usedforsecurity=False).digest(), version=3)
    return text, base64.b64encode(raw).decode(), ",".join(map(str, raw)), str(name)
