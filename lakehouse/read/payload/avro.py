"""Avro: messages that name their schema by its id in a registry, and messages that all have one schema.

The messages of a batch may have been written by several versions of a schema. Each is read by its own, and what was
read is brought to one set of columns: those of all of them by name, the newest's first. What becomes of a message does
not depend on which others are in its batch: a column that the contract declares goes to the contract in the type that
its own schema gives it, see ``TYPED``. A column that nobody declares has the type of the oldest schema that has it,
grown by the others; the messages of a schema that does not fit it are put aside.

Spark's ``from_avro`` is not trusted with a message alone. It makes NULLs of bytes that end too early, passes over bytes
that are left, makes text of bytes that are none, and takes the last 64 bits of a decimal that is longer. And it makes
room for whatever length a message claims, which ends the process where there is not so much memory. So a mark is put
behind each message, and behind its schema a field for it: the field has the mark if, and only if, the message is whole
and nothing follows. That is looked at first, with a reader that wants nothing but this field and so keeps nothing. What
it steps over as a whole it does not see: the items of an array or a map whose writer gave their size in bytes, as few
do. For lengths in there Java is told of limits, see ``lakehouse.runtime.defaults``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro
from pyspark.sql.types import ArrayType, DataType, MapType, StructField, StructType

from lakehouse.errors import ConfigError, first_line
from lakehouse.lake.batch import CODE, MESSAGE, SOURCE, TYPED
from lakehouse.lake.frame import as_json, col, counted
from lakehouse.lake.statements import expression
from lakehouse.lake.types import alike, brought
from lakehouse.read.payload import registry as schema_registry
from lakehouse.read.payload.avro_kinds import every, hold_both, is_sound
from lakehouse.read.payload.avro_schema import MARK, Node, Unusable, branches, completed, framed, resolved
from lakehouse.read.payload.registry import Registered
from lakehouse.read.scan import message_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

SCHEMA = "__schema"
"""The id of the schema that a message names; 0 where no registry gave one."""

MESSAGES = {
    "EMPTY_MESSAGE": "the message has no value: if that deletes the row of its key, say key_column",
    "AVRO_MAGIC": "the value does not begin with a zero and the four bytes of a schema's id",
    "AVRO_SCHEMA_ID": "the registry knows no such schema",
    "AVRO_SCHEMA": "the schema cannot be used",
    "MALFORMED_AVRO": "the value is not one datum of its schema",
    "RESERVED_NAME": "a field has a name that this library keeps for itself",
    "AVRO_VALUE": "a text is not UTF-8, or a number has more digits than its type",
}

_OPTIONS = {
    "mode": "PERMISSIVE",
    "datetimeRebaseMode": "CORRECTED",
    # by the names of their types, since their numbers may be others in the next version
    "enableStableIdentifiersForUnionType": "true",
}


@dataclass(frozen=True)
class Writer:
    """Schemas that read alike: by their ids, the texts that Spark is given, and the struct that comes of it.

    ``read`` is the type as Spark reads it, in which a decimal may have more digits than in ``exact``, which is the
    schema's own. ``is_bare``: what is read is no record, and becomes the column ``value``.
    """

    index: int
    schemas: dict[int, Node]
    written: str
    reading: str
    read: StructType
    exact: StructType
    is_bare: bool

    @property
    def value(self) -> Column:
        """What was read of a message, as a struct."""
        value = F.col(f"__read_{self.index}.value")
        return F.when(value.isNotNull(), F.struct(value.alias("value"))) if self.is_bare else value

    def field(self, name: str) -> StructField | None:
        """A field by its name, whatever the case."""
        return next((one for one in self.exact.fields if one.name.lower() == name.lower()), None)

    def field_value(self, name: str, want: DataType) -> Column:
        """A field of a message in a type that holds it."""
        kind = next(one for one in self.read.fields if one.name.lower() == name.lower())
        return brought(self.value.getField(kind.name), kind.dataType, want)

    def member(self, field: StructField, want: DataType | None) -> str | None:
        """Of a column that is declared as a union, the field for a plain value of this schema; None: it is no such."""
        if not isinstance(want, StructType) or not _is_union(want) or _is_union(field.dataType):
            return None
        schema = next(iter(self.schemas.values()))
        node = schema if self.is_bare else next(one["type"] for one in schema["fields"] if one["name"] == field.name)
        types = branches(node)
        name = f"member_{types[0].get('name', types[0]['type'])}" if len(types) == 1 else ""
        return name if name in want.fieldNames() else None


@dataclass(frozen=True)
class Read:
    """Messages with what was read of each, by the writers of their schemas, the newest first.

    ``messages`` has, beside what came, ``__schema``, and for each writer what it read. ``faults`` says of schemas why
    they cannot be used, by their ids.
    """

    messages: DataFrame
    writers: tuple[Writer, ...]
    faults: dict[int, str]

    @property
    def schemas(self) -> dict[int, Node]:
        """The schemas that are used, by their ids."""
        return {key: schema for one in self.writers for key, schema in one.schemas.items()}

    def judged(self, wanted: Mapping[int, StructType]) -> DataFrame:
        """The messages with ``__code`` and ``__message``: why a message cannot be used; NULL where it can.

        Args:
            wanted: the types that the fields of each writer are brought to, by the writer's index.
        """
        frame = self.messages.withColumn(CODE, self._code(wanted))
        return frame.withColumn(MESSAGE, F.when(F.col(CODE).isNotNull(), self._message()))

    def _code(self, wanted: Mapping[int, StructType]) -> Column:
        read = [F.col(f"__read_{one.index}") for one in self.writers]
        end = F.coalesce(F.lit(None).cast("binary"), *[one["end"] for one in read])
        code = (
            F.when(F.col("__value").isNull(), "EMPTY_MESSAGE")
            .when(F.col(SCHEMA).isNull(), "AVRO_MAGIC")
            .when(F.col(SCHEMA).isin(list(self.faults)), "AVRO_SCHEMA")
            .when(~F.col(SCHEMA).isin(list(self.schemas)), "AVRO_SCHEMA_ID")
            .when(~end.eqNullSafe(F.unhex(F.lit(MARK))), "MALFORMED_AVRO")
            .when(every([one["value"].isNull() for one in read]), "EMPTY_MESSAGE")
        )
        for one in self.writers:
            code = code.when(~is_sound(one.value, one.read, wanted[one.index]), "AVRO_VALUE")
        return code

    def _message(self) -> Column:
        code = F.col(CODE)
        number = F.when(code.isin("AVRO_SCHEMA", "AVRO_SCHEMA_ID"), F.concat(F.lit("id "), F.col(SCHEMA)))
        fault = F.lit(None).cast("string")
        for key, why in self.faults.items():
            fault = F.when((code == "AVRO_SCHEMA") & (F.col(SCHEMA) == key), why).otherwise(fault)
        return F.concat_ws(": ", message_of(code, MESSAGES), number, fault)


def _is_union(kind: DataType) -> bool:
    """Whether a struct has a field for each type of a union, as Spark names them."""
    return isinstance(kind, StructType) and bool(kind.fields) and all(one.startswith("member_") for one in kind.names)


def decoded(
    messages: DataFrame,
    *,
    registry: str | None = None,
    schema: str | None = None,
    topics: Iterable[str] = (),
    declared: Mapping[str, DataType] | None = None,
) -> DataFrame:
    """The messages with the fields of their records as columns; what is no record is in the column ``value``.

    Messages with a field whose name is this library's own are put aside; for the errors see ``read``.

    Args:
        messages: see the package.
        registry: see ``read``, as for ``schema`` and ``topics``.
        schema: the one schema of all messages.
        topics: where the columns come from if no message tells them.
        declared: the columns of the contract. Where their types are not those of the schemas they come with ``TYPED``.
    """
    known = {name.lower(): kind for name, kind in (declared or {}).items()}
    found = read(messages, registry=registry, schema=schema, topics=topics, apart=known)
    kinds, found = _kinds(found, known)
    frame = found.judged({one.index: _wanted(one.exact, kinds, known) for one in found.writers})
    strange = [key for key, one in found.schemas.items() if any(_is_own(field) for field in _names(one))]
    is_strange = F.col(CODE).isNull() & F.col(SCHEMA).isin(strange)
    good = F.col(CODE).isNull() & ~is_strange
    values = [
        F.when(good, value).alias(alias)
        for name, several in kinds.items()
        if not _is_own(name)
        for alias, value in _values(found, name, several, known.get(name.lower())).items()
    ]
    return frame.select(
        *[col(name) for name in messages.columns],
        *values,
        F.when(is_strange, "RESERVED_NAME").otherwise(F.col(CODE)).alias(CODE),
        F.when(is_strange, MESSAGES["RESERVED_NAME"]).otherwise(F.col(MESSAGE)).alias(MESSAGE),
    )


def _kinds(found: Read, declared: Mapping[str, DataType]) -> tuple[dict[str, list[DataType]], Read]:
    """The types of each column, one but of those that are declared, and the messages without the writers that misfit.

    The newest schema's columns come first, in its spelling.
    """
    kinds: dict[str, list[DataType]] = {}
    writers, faults = [], dict(found.faults)
    for writer in reversed(found.writers):
        try:
            kinds |= {one.name.lower(): _with_type(kinds, writer, one, declared) for one in writer.exact.fields}
        except Unusable as fault:
            faults |= dict.fromkeys(writer.schemas, str(fault))
        else:
            writers.append(writer)
    spelled: dict[str, str] = {}
    for writer in reversed(writers):
        for one in writer.exact.fields:
            spelled.setdefault(one.name.lower(), one.name)
    columns = {name: kinds[lower] for lower, name in spelled.items()}
    return columns, replace(found, writers=tuple(reversed(writers)), faults=faults)


def _with_type(
    kinds: Mapping[str, list[DataType]], writer: Writer, field: StructField, declared: Mapping[str, DataType]
) -> list[DataType]:
    """The types of a column and that of one more schema.

    Raises:
        Unusable: nobody declares it, and no type holds both.
    """
    older, want = kinds.get(field.name.lower(), []), declared.get(field.name.lower())
    if want is None:
        return [hold_both(older[0], field.dataType, field.name) if older else field.dataType]
    kind = want if writer.member(field, want) else field.dataType
    return older if any(alike(one, kind) for one in older) else [*older, kind]


def _wanted(own: StructType, kinds: Mapping[str, list[DataType]], declared: Mapping[str, DataType]) -> StructType:
    """The types that the fields of a schema are brought to: of those that are declared their own."""
    held = {name.lower(): several[0] for name, several in kinds.items()}
    return StructType(
        [one if one.name.lower() in declared else StructField(one.name, held[one.name.lower()]) for one in own.fields]
    )


def _values(found: Read, name: str, kinds: Sequence[DataType], want: DataType | None) -> dict[str, Column]:
    """A column by its name; and, where that is not what is declared, the values in each of their types."""
    if want is None:
        return {name: _coalesced([one.field_value(name, kinds[0]) for one in found.writers if one.field(name)])}
    by_kind = [(kind, _coalesced(list(_of_kind(found, name, kind, want)))) for kind in kinds]
    if len(kinds) == 1 and alike(kinds[0], want):
        return {name: by_kind[0][1]}
    typed = F.struct(*[value.alias(f"kind_{index}") for index, (_, value) in enumerate(by_kind)])
    plain = by_kind[0][1] if len(kinds) == 1 else _coalesced([_as_text(value, kind) for kind, value in by_kind])
    return {name: plain, f"{TYPED}{name}": typed}


def _of_kind(found: Read, name: str, kind: DataType, want: DataType) -> Iterator[Column]:
    """The values of a declared column that have a type."""
    for writer in found.writers:
        if (field := writer.field(name)) is None:
            continue
        if member := writer.member(field, want):
            if alike(kind, want):
                value = writer.field_value(name, field.dataType)
                parts = [value if one == member else F.lit(None) for one in kind.names]  # type: ignore[attr-defined]
                yield F.when(value.isNotNull(), F.struct(*parts).cast(kind))
        elif alike(field.dataType, kind):
            yield writer.field_value(name, kind)


def _coalesced(values: Sequence[Column]) -> Column:
    return values[0] if len(values) == 1 else F.coalesce(*values)


def _as_text(value: Column, kind: DataType) -> Column:
    return as_json(value) if isinstance(kind, ArrayType | MapType | StructType) else value.cast("string")


def _names(schema: Node) -> list[str]:
    return [field["name"] for field in schema["fields"]] if isinstance(schema, dict) and "fields" in schema else []


def _is_own(name: str) -> bool:
    return name.startswith("__") or name.lower() in (SOURCE, "_kafka")


def read(
    messages: DataFrame,
    *,
    registry: str | None = None,
    schema: str | None = None,
    topics: Iterable[str] = (),
    apart: Container[str] | None = None,
) -> Read:
    """The messages with what each holds, read by its own schema.

    Which schemas a batch has must be known before it can be planned. So, with a registry, the messages are read and
    kept at once, with a look at the first five bytes of each, and the registry is asked.

    Args:
        messages: see the package.
        registry: the registry's address; else
        schema: the one schema of all messages, as JSON.
        topics: whose newest schemas give the columns of a batch in which no message has a schema that is known.
        apart: the fields of records that are read as their own schema has them, whatever the others have; None: all.

    Raises:
        SourceUnavailableError: the registry does not answer. Further: see ``registry.by_id``.
        ConfigError: ``schema`` cannot be used.
    """
    if registry is not None:
        headed = expression("octet_length(__value) >= 5 AND substring(__value, 1, 1) = X'00'")
        number = F.when(headed, expression("conv(hex(substring(__value, 2, 4)), 16, 10)")).cast("bigint")
        payload = expression("substring(__value, 6)")
        messages, counts = counted(messages, F.collect_set(number).alias("ids"))
        found = schema_registry.by_id(registry, counts["ids"]) or schema_registry.newest(registry, topics)
    else:
        number, payload, found = F.lit(0).cast("bigint"), F.col("__value"), {0: Registered("AVRO", (schema or "",))}
    writers, faults = _writers(messages.sparkSession, found, apart)
    if registry is None and faults:
        message = f"schema_file: {faults[0]}"
        raise ConfigError(message)
    frame = messages.withColumn(SCHEMA, number)
    # as columns of their own: Spark would read a message anew for each use that is made of it
    frame = frame.select("*", *[_read(payload, one).alias(f"__read_{one.index}") for one in writers])
    return Read(frame, tuple(writers), faults)


def _writers(
    spark: SparkSession, found: Mapping[int, Registered], apart: Container[str] | None
) -> tuple[list[Writer], dict[int, str]]:
    """How each schema is read, the newest first; and why some cannot be used, by their ids."""
    writers: dict[tuple[str, str], Writer] = {}
    newest, faults = None, {}
    for key in sorted(found, reverse=True):
        try:
            if found[key].fault:
                raise Unusable(found[key].fault)  # noqa: TRY301 -- as of the others
            schema = resolved(found[key].language, found[key].texts)
            reader = schema if apart is None else completed(schema, newest or schema, apart)
            texts = framed(schema), framed(reader)
            if texts not in writers:
                kind, exact = _kind(spark, texts[1]), _kind(spark, framed(reader, wide=False))
                is_bare = not isinstance(kind, StructType)
                writers[texts] = Writer(len(writers), {}, *texts, _as_struct(kind), _as_struct(exact), is_bare)
            writers[texts].schemas[key] = schema
            newest = newest or schema
        except Unusable as fault:
            faults[key] = str(fault)
    return list(writers.values()), faults


def _as_struct(kind: DataType) -> StructType:
    return kind if isinstance(kind, StructType) else StructType([StructField("value", kind)])


def _kind(spark: SparkSession, schema: str) -> DataType:
    """Spark's type for what a schema frames.

    Raises:
        Unusable: it has none.
    """

    def ask(text: str) -> StructType:
        return spark.range(0).select(from_avro(F.unhex(F.lit("")), text, _OPTIONS).alias("it")).select("it.*").schema

    try:
        return ask(schema)["value"].dataType
    except Exception as error:
        ask(framed(None))  # a session that is gone raises here
        raise Unusable(first_line(error)) from None


def _read(payload: Column, writer: Writer) -> Column:
    """A message that is whole, as its writer had it, with the mark."""
    mark = F.unhex(F.lit(MARK))
    message = F.concat(payload, mark)
    end = from_avro(message, writer.written, {**_OPTIONS, "avroSchema": framed(None)})["end"]
    whole = F.col(SCHEMA).isin(list(writer.schemas)) & (end == mark)
    return F.when(whole, from_avro(message, writer.written, {**_OPTIONS, "avroSchema": writer.reading}))
