"""``lakehouse contract suggest``: a first contract of what a sample holds, which accepts that very sample."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError
from lakehouse.lake.frame import literal, quoted
from lakehouse.runtime.sample import of_files, of_table
from lakehouse.runtime.session import settled, start
from lakehouse.spec.column_type import known_type
from lakehouse.spec.expression import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import SparkSession

    from lakehouse.lake.place import Lake
    from lakehouse.runtime.sample import Sample, Seen
    from lakehouse.spec.files import FileFormat

ROWS = 100_000
"""Rows of a sample that are looked at."""

_ENOUGH = 100
"""Rows that a sample has at least, before what it lacks says anything."""

_TABLE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"[\w .:/+-]{1,40}")
_NOT_A_NAME = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def look(
    source: str,
    lake: Lake | None,
    settings: Mapping[str, str],
    *,
    rows: int = ROWS,
    format: FileFormat | None = None,
    delimiter: str | None = None,
    spark: SparkSession | None = None,
) -> Sample:
    """A look at a file, at a folder of files, or at a table of the lake (``schema.table``).

    Args:
        source: a path, or a table's name.
        lake: where tables are.
        settings: Spark's.
        rows: how many rows are looked at.
        format: how files are written; told by their ending where not said.
        delimiter: that of CSV; told by the header where not said.
        spark: the session; one is started where there is none.

    Raises:
        SourceNotFoundError: there is no such table; SourceEmptyError: there is no file that can be read.
        ConfigError: there is neither such a path nor is it a table's name.
    """
    place = Path(source)
    if not place.exists() and not (lake and _TABLE.fullmatch(source)):
        message = f"{source}: there is no such file or folder, and it is no table's name"
        raise ConfigError(message, hint="a table is named schema.table, inside of a project")
    spark = spark or start("suggest", settings)
    with settled(spark, settings):
        if place.exists() or lake is None:
            return of_files(spark, place.resolve(), rows=rows, format=format, delimiter=delimiter)
        return of_table(spark, lake.table(source), rows=rows)


def contract(sample: Sample) -> str:
    """The contract, as YAML with what was seen in its comments; no value of what may be personal is in it."""
    return "\n".join([*_head(sample), "columns:", *_columns(sample), *_rules(sample)]) + "\n"


def _head(sample: Sample) -> Iterator[str]:
    here = Path(sample.of)
    of = here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here
    yield f"# Suggested by what {plain(str(of))} holds: {sample.told} were looked at."
    yield "# A sample shows what was, and not what must be: look at each line before it decides about rows."
    if sample.bad:
        yield f"# {sample.bad:,} records or files of it could not be read."
    if sample.keys:
        yield f"# Each value is another one, and so perhaps a key: {', '.join(map(plain, sample.keys))}."


def _columns(sample: Sample) -> Iterator[str]:
    for one in sample.columns:
        try:
            kind = known_type(one.type)
        except ValueError:
            yield f"  # {plain(one.name)} is {plain(one.type)}, which a contract cannot say"
            continue
        required = sample.rows >= _ENOUGH and one.values == sample.rows and "<" not in kind
        comment = ", ".join(_seen(one, sample.rows))
        extras = [", classification: personal"] * one.is_personal + [", notation: number"] * (one.notation == "number")
        if extras:
            nullable = ", nullable: false" if required else ""
            text = f"{{type: {scalar(kind)}{nullable}{''.join(extras)}}}"
        else:
            text = scalar(f"{kind} not null" if required else kind)
        yield f"  {scalar(one.name)}: {text}" + (f"  # {comment}" if comment else "")


def _seen(one: Seen, rows: int) -> Iterator[str]:
    """What a column held, for people."""
    if one.is_personal:
        yield "personal or secret, by its name or looks"
    if not one.values:
        yield "no value was seen"
        return
    if one.values < rows:
        yield f"{rows - one.values:,} of {rows:,} are NULL"
    elif rows < _ENOUGH:
        yield f"none of {rows:,} is NULL"
    if one.is_personal or one.is_mixed:
        return
    if one.least is not None and one.most is not None:
        yield f"{plain(one.least)} to {plain(one.most)}"
    if one.longest is not None:
        yield f"{one.shortest:,} to {one.longest:,} characters"


def _rules(sample: Sample) -> Iterator[str]:
    """What a column with few different texts may hold; a new one is told, and no row is lost for it."""
    rules = []
    for one in sample.columns:
        if len(one.texts) > 1 and 5 * len(one.texts) <= one.values and all(map(_WORD.fullmatch, one.texts)):
            name = re.sub(r"[^a-z0-9]+", "_", one.name.lower()).strip("_") or "value"
            rules.append((f"known_{name}", f"{_column(one.name)} in ({', '.join(map(literal, one.texts))})"))
    names = [name for name, _ in rules]
    rules = [(name, check) for name, check in rules if names.count(name) == 1]
    if rules:
        yield "rules:"
        yield "  # all that was seen; say on_fail: quarantine where that is all there may be"
    for name, check in rules:
        yield f"  - {{name: {name}, check: {in_quotes(check)}, on_fail: warn}}"


def _column(name: str) -> str:
    """A column as SQL, in quotes where it would be a word of SQL without."""
    try:
        is_plain = _PLAIN.fullmatch(name) and columns_of(f"{name} in ('x')") == {name}
    except ValueError:
        is_plain = False
    return name if is_plain else quoted(name)


def scalar(text: str) -> str:
    """A text as YAML."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_ ()./-]*", text) and text.lower() not in _NOT_A_NAME and text == text.strip():
        return text
    return in_quotes(text)


def in_quotes(text: str) -> str:
    """A text in double quotes, which YAML and Python both read as that very text.

    What is not printable is written by its number: YAML takes no such character as it is, and Python not all.
    """
    return "".join(one if one.isprintable() else _number(one) for one in json.dumps(text, ensure_ascii=False))


def _number(one: str) -> str:
    return f"\\u{ord(one):04x}" if ord(one) < 0x10000 else f"\\U{ord(one):08x}"


def plain(text: str) -> str:
    """A text as a comment can hold it: on one line."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:200]
