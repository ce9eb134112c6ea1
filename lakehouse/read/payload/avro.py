"""Avro: messages that name their schema by its id in a registry, and messages that all have one schema.

The messages of a batch may have been written by several versions of a schema. Each is read by its own, and what was
read is brought to one set of columns: those of all of them by name, the newest's first.

Spark's ``from_avro`` is not trusted with a message alone. It makes NULLs of bytes that end too early, passes over bytes
that are left, makes text of bytes that are none, and takes the last 64 bits of a decimal that is longer. And it makes
room for whatever length a message claims, which ends the process where there is not so much memory. So a mark is put
behind each message, and behind its schema a field for it: the field has the mark if, and only if, the message is whole
and nothing follows. That is looked at first, with a reader that wants nothing but this field and so keeps nothing. What
it steps over as a whole it does not see: the items of an array or a map whose writer gave their size in bytes, as few
do. For lengths in there, Java has ``-Dorg.apache.avro.limits.string.maxLength`` (``bytes``, ``collectionItems``).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DecimalType,
    DoubleType,
    LongType,
    MapType,
    NullType,
    StringType,
    StructField,
    StructType,
)

from lakehouse.errors import ConfigError, first_line
from lakehouse.lake.batch import CODE, MESSAGE, SOURCE
from lakehouse.lake.frame import col, counted, quoted
from lakehouse.lake.types import alike, brought
from lakehouse.read.payload import registry as schema_registry
from lakehouse.read.payload.avro_schema import MARK, MOST_DIGITS, Node, Unusable, completed, framed, resolved
from lakehouse.read.payload.registry import Registered
from lakehouse.read.scan import message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pyspark.sql import Column, DataFrame, SparkSession

PARSED, SCHEMA = "__parsed", "__schema"

MESSAGES = {
    "EMPTY_MESSAGE": "the message has no value",
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
_NUMBERS = ("int", "bigint", "float", "double")
_EXACT = 2**53
"""Up to here a double has every whole number."""


@dataclass(frozen=True)
class Parsed:
    """Messages with what they hold, and the schemas that they were written by.

    ``messages`` has, beside what came, ``__parsed``, a struct that is NULL where ``__code`` is not, ``__message``, and
    ``__schema``, the id of the message's schema. ``schemas`` has those that are used by their ids, the newest first, as
    ``avro_schema`` has them; the id is 0 where no registry gave one.
    """

    messages: DataFrame
    schemas: Mapping[int, Node]


def decoded(
    messages: DataFrame, *, registry: str | None = None, schema: str | None = None, topics: Iterable[str] = ()
) -> DataFrame:
    """The messages with the fields of their records as columns; what is no record is in the column ``value``.

    Messages with a field whose name is this library's own are put aside; for the errors see ``parsed``.
    """
    result = parsed(messages, registry=registry, schema=schema, topics=topics)
    names = result.messages.select(f"{PARSED}.*").columns
    strange = [key for key, one in result.schemas.items() if any(_is_own(field) for field in _names(one))]
    is_strange = F.col(CODE).isNull() & F.col(SCHEMA).isin(strange)
    return result.messages.select(
        *[col(name) for name in messages.columns],
        *[F.when(~is_strange, F.col(f"{PARSED}.{quoted(name)}")).alias(name) for name in names if not _is_own(name)],
        F.when(is_strange, "RESERVED_NAME").otherwise(F.col(CODE)).alias(CODE),
        F.when(is_strange, MESSAGES["RESERVED_NAME"]).otherwise(F.col(MESSAGE)).alias(MESSAGE),
    )


def _names(schema: Node) -> list[str]:
    return [field["name"] for field in schema["fields"]] if isinstance(schema, dict) and "fields" in schema else []


def _is_own(name: str) -> bool:
    return name.startswith("__") or name.lower() in (SOURCE, "_kafka")


def parsed(
    messages: DataFrame, *, registry: str | None = None, schema: str | None = None, topics: Iterable[str] = ()
) -> Parsed:
    """The messages with what they hold as one struct.

    Which schemas a batch has must be known before it can be planned. So, with a registry, the messages are read and
    kept at once, with a look at the first five bytes of each, and the registry is asked.

    Args:
        messages: see the package.
        registry: the registry's address; else
        schema: the one schema of all messages, as JSON.
        topics: whose newest schemas give the columns of a batch in which no message has a schema that is known.

    Raises:
        SourceUnavailableError: the registry does not answer. Further: see ``registry.by_id``.
        ConfigError: ``schema`` cannot be used.
    """
    if registry is not None:
        headed = F.expr("octet_length(__value) >= 5 AND substring(__value, 1, 1) = X'00'")
        number = F.when(headed, F.expr("conv(hex(substring(__value, 2, 4)), 16, 10)")).cast("bigint")
        payload = F.expr("substring(__value, 6)")
        messages, counts = counted(messages, F.collect_set(number).alias("ids"))
        found = schema_registry.by_id(registry, counts["ids"]) or schema_registry.newest(registry, topics)
    else:
        number, payload, found = F.lit(0).cast("bigint"), F.col("__value"), {0: Registered("AVRO", (schema or "",))}
    writers, want, faults = _writers(messages.sparkSession, found)
    if registry is None and faults:
        message = f"schema_file: {faults[0]}"
        raise ConfigError(message)
    frame = messages.withColumn(SCHEMA, number)
    # as columns of their own: Spark would read a message anew for each use that is made of it
    frame = frame.select("*", *[_read(payload, one).alias(f"__read_{index}") for index, one in enumerate(writers)])
    frame = frame.withColumn(CODE, _code(writers, want, list(faults)))
    values = [brought(one.value(index), one.kind, want) for index, one in enumerate(writers)]
    whole = F.when(F.col(CODE).isNull(), F.coalesce(F.lit(None).cast(want), *values))
    told = F.when(F.col(CODE).isNotNull(), _message(faults))
    kept = [col(name) for name in messages.columns]
    frame = frame.select(*kept, SCHEMA, whole.alias(PARSED), CODE, told.alias(MESSAGE))
    return Parsed(frame, {key: schema for one in writers for key, schema in one.schemas.items()})


@dataclass(frozen=True)
class _Writer:
    """Schemas that read alike: by their ids, as Spark is given them, and the struct that comes of it."""

    schemas: dict[int, Node]
    written: str
    reading: str
    kind: StructType
    bare: bool

    def value(self, index: int) -> Column:
        """What was read, as a struct."""
        value = F.col(f"__read_{index}.value")
        return F.when(value.isNotNull(), F.struct(value.alias("value"))) if self.bare else value


def _writers(spark: SparkSession, found: Mapping[int, Registered]) -> tuple[list[_Writer], StructType, dict[int, str]]:
    """How each schema is read, the newest first; the type that holds all; and why some cannot be used, by their ids."""
    writers: dict[tuple[str, str], _Writer] = {}
    want, newest, faults = StructType(), None, {}
    for key in sorted(found, reverse=True):
        try:
            schema = resolved(found[key].language, found[key].texts)
            reader = completed(schema, newest or schema)
            texts = framed(schema), framed(reader)
            if texts not in writers:
                kind, exact = _kind(spark, texts[1]), _kind(spark, framed(reader, wide=False))
                want = _together(want, _as_struct(exact), "")
                writers[texts] = _Writer({}, *texts, _as_struct(kind), bare=not isinstance(kind, StructType))
            writers[texts].schemas[key] = schema
            newest = newest or schema
        except Unusable as fault:
            faults[key] = str(fault)
    return list(writers.values()), want, faults


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


def _together(new: DataType, old: DataType, path: str) -> Any:
    """The type that holds what two versions have, by Avro's rules, but a double for whole and broken numbers.

    Raises:
        Unusable: there is none.
    """
    if alike(new, old) or isinstance(old, NullType):
        return new
    if isinstance(new, StructType) and isinstance(old, StructType):
        others = {field.name.lower(): field for field in old.fields}
        fields = []
        for one in new.fields:
            other = others.pop(one.name.lower(), one)
            fields.append(StructField(one.name, _together(one.dataType, other.dataType, f"{path}.{one.name}")))
        return StructType([*fields, *others.values()])
    if isinstance(new, ArrayType) and isinstance(old, ArrayType):
        return ArrayType(_together(new.elementType, old.elementType, f"{path}.items"))
    if isinstance(new, MapType) and isinstance(old, MapType):
        return MapType(new.keyType, _together(new.valueType, old.valueType, f"{path}.values"))
    return _one_scalar(new, old, path)


def _one_scalar(new: DataType, old: DataType, path: str) -> DataType:
    names = {new.simpleString(), old.simpleString()}
    if isinstance(new, DecimalType) and isinstance(old, DecimalType):
        scale = max(new.scale, old.scale)
        digits = max(new.precision - new.scale, old.precision - old.scale) + scale
        if digits <= MOST_DIGITS:
            return DecimalType(digits, scale)
    if names <= set(_NUMBERS):
        return LongType() if names == {"int", "bigint"} else DoubleType()
    if isinstance(new, NullType):
        return old
    if names == {"string", "binary"}:
        return new
    told = f"{path.removeprefix('.')} is {old.simpleString()}, and {new.simpleString()} in a newer schema of the batch"
    raise Unusable(told)


def _read(payload: Column, writer: _Writer) -> Column:
    """A message that is whole, as its writer had it, with the mark."""
    mark = F.unhex(F.lit(MARK))
    message = F.concat(payload, mark)
    end = from_avro(message, writer.written, {**_OPTIONS, "avroSchema": framed(None)})["end"]
    whole = F.col(SCHEMA).isin(list(writer.schemas)) & (end == mark)
    return F.when(whole, from_avro(message, writer.written, {**_OPTIONS, "avroSchema": writer.reading}))


def _code(writers: list[_Writer], want: StructType, faults: list[int]) -> Column:
    read = [F.col(f"__read_{index}") for index in range(len(writers))]
    end = F.coalesce(F.lit(None).cast("binary"), *[one["end"] for one in read])
    code = (
        F.when(F.col("__value").isNull(), "EMPTY_MESSAGE")
        .when(F.col(SCHEMA).isNull(), "AVRO_MAGIC")
        .when(F.col(SCHEMA).isin(faults), "AVRO_SCHEMA")
        .when(~F.col(SCHEMA).isin([key for one in writers for key in one.schemas]), "AVRO_SCHEMA_ID")
        .when(~end.eqNullSafe(F.unhex(F.lit(MARK))), "MALFORMED_AVRO")
        .when(_all([one["value"].isNull() for one in read]), "EMPTY_MESSAGE")
    )
    for index, one in enumerate(writers):
        code = code.when(~_sound(one.value(index), one.kind, want), "AVRO_VALUE")
    return code


def _message(faults: Mapping[int, str]) -> Column:
    code = F.col(CODE)
    number = F.when(code.isin("AVRO_SCHEMA", "AVRO_SCHEMA_ID"), F.concat(F.lit("id "), F.col(SCHEMA)))
    fault = F.lit(None).cast("string")
    for key, told in faults.items():
        fault = F.when((code == "AVRO_SCHEMA") & (F.col(SCHEMA) == key), told).otherwise(fault)
    return F.concat_ws(": ", message_of(code, MESSAGES), number, fault)


def _sound(value: Column, have: StructType, want: StructType) -> Column:
    """Whether texts are texts, and numbers fit the types that they are brought to.

    The texts are looked at as one, with commas between, so that no two bad pieces make a good one: a look at each would
    be more code than Java compiles as one method, and cost three times as much.
    """
    texts, fits = _parts(value, have, want)
    return _all([F.is_valid_utf8(F.concat_ws(",", *texts)), *fits])


def _all(conditions: list[Column]) -> Column:
    return reduce(lambda one, other: one & other, conditions, F.lit(True))


def _parts(value: Column, have: DataType, want: DataType) -> tuple[list[Column], list[Column]]:
    """The texts within a value, each as a text or an array of them; and whether each of its numbers fits."""
    if isinstance(have, StructType) and isinstance(want, StructType):
        kinds = {field.name.lower(): field.dataType for field in want.fields}
        inner = [_parts(value.getField(one.name), one.dataType, kinds[one.name.lower()]) for one in have.fields]
        return [text for one, _ in inner for text in one], [fit for _, one in inner for fit in one]
    if isinstance(have, MapType) and isinstance(want, MapType):
        texts, fits = _parts(F.map_values(value), ArrayType(have.valueType), ArrayType(want.valueType))
        return [F.map_keys(value), *texts], fits
    if isinstance(have, ArrayType) and isinstance(want, ArrayType):
        inner_have, inner_want = have.elementType, want.elementType
        texts, fits = _parts(value, inner_have, inner_want)
        if texts:
            joined = F.transform(value, lambda one: F.concat_ws(",", *_parts(one, inner_have, inner_want)[0]))
            texts = [value if isinstance(inner_have, StringType) else joined]
        every = F.forall(value, lambda one: _all(_parts(one, inner_have, inner_want)[1]))
        return texts, [F.coalesce(every, F.lit(True))] if fits else []
    if isinstance(have, StringType) or (isinstance(have, BinaryType) and isinstance(want, StringType)):
        return [value.cast("string")], []
    fit = _fit(value, have, want)
    return [], [] if fit is None else [F.coalesce(fit, F.lit(True))]


def _fit(value: Column, have: DataType, want: DataType) -> Column | None:
    if isinstance(have, LongType) and isinstance(want, DoubleType):
        return value.between(-_EXACT, _EXACT)
    if isinstance(have, DecimalType) and isinstance(want, DecimalType) and have != want:
        # not by abs(), which rounds a negative decimal at 34 digits
        bound = Decimal(10 ** (want.precision - want.scale))
        return (value > F.lit(-bound)) & (value < F.lit(bound))
    return None
