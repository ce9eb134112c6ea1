"""XML: the elements of one name, their attributes and children as text."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from xml.parsers import expat

from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from lakehouse.lake.batch import CODE, MESSAGE, RAW, BadFile
from lakehouse.lake.frame import col, materialise
from lakehouse.lake.storage import local, plain_path
from lakehouse.read.packed import chunks
from lakehouse.read.scan import URI, Unreadable, glob_escaped, is_the_files_fault, place, usable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.read.scan import Groups
    from lakehouse.spec.files import FilesSource

_NOTHING = "__nothing"
"""A column beside that of the broken records where no record has any: Spark refuses to read that one alone."""

_DEEPEST = 100
"""A type within a type for each: a few thousand of them end the JVM."""


def groups(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
    """All files together; before Spark reads them, each is proved to be XML, and its records are counted.

    Spark's reader ends without a word where a file was cut between two records, and takes the rest of a file for one
    record where it is broken.
    """
    counts: dict[str, int] = {}
    bad: list[BadFile] = []
    for path in paths:
        try:
            counts[path] = _records(path, _tag(source)) if local(path) else -1
        except Unreadable as error:
            bad.append(BadFile(path, error.code, str(error)))
    return [(list(counts), partial(_scan, spark, _tag(source), counts))] if counts else [], bad


def _tag(source: FilesSource) -> str:
    if source.xml is None:
        raise AssertionError
    return source.xml.row_tag


def _scan(spark: SparkSession, tag: str, counts: Mapping[str, int], paths: Sequence[str]) -> DataFrame:
    """The records; each file's are as many as it holds."""
    rows = _values(spark, tag, paths)
    usable([name for name in rows.columns if name not in (RAW, _NOTHING)])
    missing = [F.lit(None).cast("string").alias(name) for name in (CODE, MESSAGE)]
    rows = materialise(rows.select("*", *missing, *place())).drop(_NOTHING)
    counted = rows.groupBy(URI).agg(F.count("*").alias("all"), F.count(RAW).alias("broken")).collect()
    found = {plain_path(row[URI], encoded=True): row for row in counted}
    for path in paths:
        read, broken = (found[path]["all"], found[path]["broken"]) if path in found else (0, 0)
        if broken or counts[path] not in (-1, read):
            told = "" if counts[path] == -1 else f"of its {counts[path]:,} records "
            message = f"{told}{read - broken:,} could be read before Spark's reader took the rest for a broken one"
            raise Unreadable(message)
    return rows


def _values(spark: SparkSession, tag: str, paths: Sequence[str]) -> DataFrame:
    """The records' values: one that has parts (children, attributes, more than one of its name) as JSON."""
    options = {"rowTag": tag, "inferSchema": "false", "ignoreSurroundingSpaces": "false"}
    reader = spark.read.format("xml").options(columnNameOfCorruptRecord=RAW, mode="PERMISSIVE", **options)
    files = [glob_escaped(path) for path in paths]
    fields = [field for field in reader.load(files).schema.fields if field.name != RAW]
    fields = fields or [StructField(_NOTHING, StringType())]
    rows = reader.schema(StructType([*fields, StructField(RAW, StringType())])).load(files)
    return rows.select(
        *[
            (col(field.name) if isinstance(field.dataType, StringType) else F.to_json(col(field.name))).alias(
                field.name
            )
            for field in fields
        ],
        RAW,
    )


def columns(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> dict[str, str]:
    """The columns that the records of the files name, all text; none where one of the files cannot be read."""
    try:
        rows = _values(spark, _tag(source), paths)
        return dict.fromkeys([name for name in rows.columns if name not in (RAW, _NOTHING)], "string")
    except Exception as error:
        if not is_the_files_fault(error):
            raise
        return {}


def _records(path: str, tag: str) -> int:
    """How many records a file holds.

    Raises:
        Unreadable: it is not well-formed.
    """
    parser = expat.ParserCreate()
    count, depth = 0, 0

    def begin(name: str, attributes: object) -> None:
        nonlocal count, depth
        del attributes
        if depth or name == tag:
            count += not depth
            depth += 1
        if depth > _DEEPEST:
            message = f"a record has elements within elements to a depth of more than {_DEEPEST}"
            raise Unreadable(message)

    def end(name: str) -> None:
        nonlocal depth
        del name
        depth -= bool(depth)

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    try:
        for chunk in chunks(path):
            parser.Parse(chunk, False)  # noqa: FBT003 -- Python's own
        parser.Parse(b"", True)  # noqa: FBT003 -- Python's own
    except expat.ExpatError as error:
        message = f"it is not well-formed: {error}"
        raise Unreadable(message) from None
    return count
