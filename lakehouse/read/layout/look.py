"""The independent look at binary files: each one's own account, and the files that are refused for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lakehouse.lake.batch import BadFile
from lakehouse.read.layout import avro, orc, parquet
from lakehouse.read.layout.content import open_content
from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from lakehouse.read.layout.content import Content
    from lakehouse.read.layout.layout import Layout
    from lakehouse.spec.files import FileFormat
    from lakehouse.spec.limits import FileLimits


class _Reader(Protocol):
    def __call__(self, content: Content, limits: FileLimits) -> Layout | None: ...


_READERS: dict[FileFormat, _Reader] = {
    "parquet": parquet.read_layout,
    "orc": orc.read_layout,
    "avro": avro.read_layout,
}


def look_at(
    spark: SparkSession, paths: Sequence[str], form: FileFormat, limits: FileLimits
) -> tuple[dict[str, Layout | None], list[BadFile]]:
    """Read every file's layout, None where there is none to be had; and the files that contradict themselves.

    Raises:
        LakehouseError: the storage does not let a file be read.
    """
    found: dict[str, Layout | None] = {}
    bad: list[BadFile] = []
    for path in paths:
        try:
            with open_content(spark, path) as content:
                found[path] = _READERS[form](content, limits) if content else None
        except FileNotFoundError:
            # it is Spark's to say that it vanished while it was read
            found[path] = None
        except Unreadable as error:
            bad.append(BadFile(path, error.code, str(error)))
    return found, bad
