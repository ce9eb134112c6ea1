"""JSON as Kafka Connect's converter writes it: with its schema beside it or without, and every digit of its numbers."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.frame import literal, sql_type
from lakehouse.read.payload.json import STRICT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

_FIELD = "field: string, type: string, name: string, parameters: struct<scale: string>"
FIELDS = f"array<struct<{_FIELD}>>"
"""The fields of a schema block, of each what its type is; see ``connect_types``."""

_MARK = "\ue0ff#"
"""Of Unicode's private area, so that no feed has it."""

_LONG = r"[:\[,]\s*-?(?:(?=[0-9.]{17})[0-9]+\.|[0-9.]+[eE])"
"""A sign of a number that a double may not hold, which is what the parser would make of it."""

_NUMBER = r'\G((?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?+[0-9]++(?![.eE])|[^"0-9-])*+)(-?+[0-9]++[.eE][0-9.eE+-]*+)'
"""Everything up to a number with a fraction or an exponent outside of strings, and the number: see read/json.py."""

_WITHIN, _FIRST = f'"{_MARK}([^"]*)"', f"^{_MARK}"


def opened(frame: DataFrame, parts: Sequence[str]) -> DataFrame:
    """The frame with what is in ``__doc<part>`` (JSON): ``__body<part>``, and ``__block<part>``, its schema.

    Where there is no schema the body is the whole. It is told by each text alone: an object of ``schema`` and
    ``payload`` and nothing else, the first an object or NULL. Numbers may be marked, see ``unmarked``.
    """
    frame = frame.withColumns({f"__json{part}": _marked(F.col(f"__doc{part}")) for part in parts})
    both: dict[str, Column] = {}
    for part in parts:
        text = F.col(f"__json{part}")
        perhaps = F.when(F.substring(text, 1, 64).rlike(r'^\s*\{\s*"(schema|payload)"'), text)
        both[f"__both{part}"] = F.from_json(perhaps, "map<string,string>", STRICT)
    frame = frame.withColumns(both)
    blocks: dict[str, Column] = {}
    for part in parts:
        names = F.sort_array(F.map_keys(f"__both{part}")) == F.array(F.lit("payload"), F.lit("schema"))
        schema = F.try_element_at(f"__both{part}", F.lit("schema"))
        is_block = F.coalesce(names & (schema.isNull() | schema.startswith("{")), F.lit(False))
        blocks |= {f"__is_block{part}": is_block, f"__block{part}": F.when(is_block, schema)}
    frame = frame.withColumns(blocks)
    bodies: dict[str, Column] = {}
    for part in parts:
        payload = F.try_element_at(f"__both{part}", F.lit("payload"))
        bodies[f"__body{part}"] = F.when(F.col(f"__is_block{part}"), payload).otherwise(F.col(f"__json{part}"))
    return frame.withColumns({**bodies, "__is_marked": _is_marked(parts)})


def _marked(text: Column) -> Column:
    marked = F.regexp_replace(text, _NUMBER, f'$1"{_MARK}$2"')
    return F.when(text.rlike(_LONG) & ~text.contains(_MARK), marked).otherwise(text)


def _is_marked(parts: Sequence[str]) -> Column:
    differ = [F.coalesce(F.col(f"__json{part}") != F.col(f"__doc{part}"), F.lit(False)) for part in parts]
    return reduce(lambda one, other: one | other, differ)


def unmarked(text: str) -> str:
    """SQL: a value of a body as it was written, also where numbers are marked to keep their text."""
    plain = f"regexp_replace(regexp_replace({text}, {literal(_WITHIN)}, '$1'), {literal(_FIRST)}, '')"
    return f"CASE WHEN __is_marked THEN {plain} ELSE {text} END"


def alone(text: Column) -> Column:
    """Whether a text is one JSON value and nothing else: a field before another one, as which it ends where it ends."""
    keys = F.json_object_keys(F.concat(F.lit('{"":'), text, F.lit(f',"{_MARK}":0}}')))
    return F.coalesce(keys == F.array(F.lit(""), F.lit(_MARK)), F.lit(False))


def with_parts(text: Column, kind: DataType) -> Column:
    """What a text holds that has parts: ``v``, and ``__corrupt`` where that is not all there is of it."""
    whole = F.concat(F.lit('{"v":'), text, F.lit("}"))
    sound = F.when(alone(text), whole).when(text.isNotNull(), "?")
    return F.from_json(sound, f"v {sql_type(kind)}, __corrupt string", STRICT)


def fields_of(schema: Column, *, within: str | None = None) -> Column:
    """The fields of a schema block, or those of a field of it."""
    if within is None:
        return F.from_json(schema, f"fields {FIELDS}")["fields"]
    above = F.from_json(schema, f"fields array<struct<{_FIELD}, fields: {FIELDS}>>")["fields"]
    return F.get(above, F.array_position(above["field"], within).cast("int") - 1)["fields"]
