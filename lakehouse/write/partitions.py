"""Values that a partition can hold: it is a folder's name and a text of the log, and not every value has one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import (
    BinaryType,
    DateType,
    DecimalType,
    FractionalType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from lakehouse.lake.frame import path
from lakehouse.lake.types import resolved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

    from lakehouse.spec.write import Write

CODE = "PARTITION_VALUE"
_OF_NULL = "__HIVE_DEFAULT_PARTITION__"
"""The folder of rows whose value is NULL."""
_ESCAPED = r"""[\x01-\x1F"#%'*/:=?\\\x7F{\[\]^]"""
"""Characters that a folder's name has as three: ``%2F``."""
_LONGEST = 255
"""Bytes that a folder's name may have on most file systems."""
_YEARS = 1, 9999


def is_partition_type(kind: DataType) -> bool:
    """Whether each value of the type has one text of its own; NaN and -0.0, and bytes that are no text, have not."""
    return not isinstance(kind, BinaryType) and (not isinstance(kind, FractionalType) or isinstance(kind, DecimalType))


def unfit(rows: DataFrame, spec: Write) -> Mapping[str, Column]:
    """By each column that the table is partitioned by, whether a row's value is none that a partition can hold.

    A text is not where it is empty or ``__HIVE_DEFAULT_PARTITION__`` (both would come back as NULL), has the character
    NUL, or is longer than a folder's name may be; a time is not where its year is not of four digits.
    """
    found = {}
    for name in spec.partition_by:
        if (one := resolved(rows.schema, name)) and (condition := _unfit(path(rows, name), name, one[1])) is not None:
            found[name] = condition
    return found


def _unfit(value: Column, name: str, kind: DataType) -> Column | None:
    if isinstance(kind, StringType):
        beside = len(re.sub(_ESCAPED, "%00", name).encode()) + 1
        escaped = F.octet_length(value) + 2 * F.regexp_count(value, F.lit(_ESCAPED))
        is_long = escaped + beside > _LONGEST
        return F.coalesce(value.isin("", _OF_NULL) | F.contains(value, F.lit("\0")) | is_long, F.lit(False))
    if isinstance(kind, DateType | TimestampType | TimestampNTZType):
        return F.coalesce(~F.year(value).between(*_YEARS), F.lit(False))
    return None
