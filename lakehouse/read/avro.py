"""Avro files: their own types, by the schema in each file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lakehouse.errors import innermost
from lakehouse.lake.batch import BadFile
from lakehouse.read.header import check_header
from lakehouse.read.layout.compare import keep
from lakehouse.read.layout.look import look_at
from lakehouse.read.scan import Unreadable, glob_escaped, is_the_files_fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from lakehouse.read.scan import Groups
    from lakehouse.spec.files import FilesSource


def groups(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
    """The files by their schema: Spark reads all files by that of one of them, and NULL for what that one lacks."""
    layouts, contradictory = look_at(spark, paths, "avro", source.limits)
    schemas, bad = _schemas(spark, list(layouts))
    by_schema: dict[str, list[str]] = {}
    for path, schema in schemas.items():
        try:
            check_header(schema.names, source)
            by_schema.setdefault(schema.json(), []).append(path)
        except Unreadable as error:
            bad.append(BadFile(path, error.code, str(error)))

    def scan(schema: StructType, some: Sequence[str]) -> DataFrame:
        rows = spark.read.format("avro").schema(schema).load([glob_escaped(path) for path in some])
        return keep(rows, some, layouts)

    return [(same, partial(scan, schemas[same[0]])) for _, same in sorted(by_schema.items())], [*contradictory, *bad]


def columns(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> dict[str, str]:
    """The columns that the files' schemas name, with their types."""
    layouts, _ = look_at(spark, paths, "avro", source.limits)
    schemas, _ = _schemas(spark, list(layouts))
    return {field.name: field.dataType.simpleString() for schema in schemas.values() for field in schema.fields}


def _schemas(spark: SparkSession, paths: Sequence[str]) -> tuple[dict[str, StructType], list[BadFile]]:
    """Each file's schema, which Spark reads from its head without a job, and the files that have none."""
    schemas: dict[str, StructType] = {}
    bad: list[BadFile] = []
    for path in paths:
        try:
            schemas[path] = spark.read.format("avro").load(glob_escaped(path)).schema
        except Exception as error:
            if not is_the_files_fault(error):
                raise
            bad.append(BadFile(path, "FILE_UNREADABLE", innermost(str(error))))
    return schemas, bad
