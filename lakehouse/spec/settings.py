"""Spark settings that decide what a value or a row is: one meaning everywhere, so nobody may choose another."""

from __future__ import annotations

import re
from typing import NamedTuple


class Fixed(NamedTuple):
    """The value that a setting has in every session of this library, and why another one is refused."""

    value: str
    reason: str


_LOSES_FILES = "a file that cannot be read would be left out without a word"
_OLD_STATE = "a table would be read as it was before"
_OTHER_VALUES = "the same file would become other values"

FIXED: dict[str, Fixed] = {
    "spark.sql.ansi.enabled": Fixed("true", "a cast that fails would be NULL"),
    "spark.sql.session.timeZone": Fixed("UTC", "times would depend on the place"),
    "spark.databricks.delta.commit.idempotencyCheck.enabled": Fixed("true", "a commit could be made twice"),
    # Spark's own default is INT96, which many read as nanoseconds: 2999-12-31 is 1830-11-22 to them
    "spark.sql.parquet.outputTimestampType": Fixed("TIMESTAMP_MICROS", "other readers would show other times"),
    "spark.sql.files.ignoreCorruptFiles": Fixed("false", _LOSES_FILES),
    "spark.sql.files.ignoreMissingFiles": Fixed("false", _LOSES_FILES),
    "spark.sql.files.ignoreInvalidPartitionPaths": Fixed("false", _LOSES_FILES),
    "spark.sql.parquet.respectSummaryFiles": Fixed("false", "columns of some files would not be seen"),
    "spark.sql.caseSensitive": Fixed("false", "names would be matched otherwise than contracts match them"),
    "spark.sql.legacy.timeParserPolicy": Fixed("CORRECTED", "times that do not fit their pattern would be accepted"),
    "spark.sql.mapKeyDedupPolicy": Fixed("EXCEPTION", "of two entries with one key the first would be lost"),
    "spark.sql.storeAssignmentPolicy": Fixed("ANSI", "values that do not fit would be stored cut"),
    "spark.sql.timestampType": Fixed("TIMESTAMP_LTZ", "a timestamp would be one without a time zone"),
    "spark.sql.parquet.binaryAsString": Fixed("false", _OTHER_VALUES),
    "spark.sql.parquet.int96AsTimestamp": Fixed("true", _OTHER_VALUES),
    "spark.sql.parquet.int96TimestampConversion": Fixed("false", _OTHER_VALUES),
    "spark.sql.parquet.inferTimestampNTZ.enabled": Fixed("true", _OTHER_VALUES),
    "spark.sql.parquet.fieldId.read.enabled": Fixed("false", "columns would be matched by number, not by name"),
    "spark.sql.parquet.fieldId.read.ignoreMissing": Fixed("false", "columns without a number would be NULL"),
    "spark.sql.parquet.datetimeRebaseModeInRead": Fixed("CORRECTED", _OTHER_VALUES),
    "spark.sql.parquet.int96RebaseModeInRead": Fixed("CORRECTED", _OTHER_VALUES),
    "spark.sql.avro.datetimeRebaseModeInRead": Fixed("CORRECTED", _OTHER_VALUES),
    "spark.sql.orc.impl": Fixed("native", _OTHER_VALUES),
    "spark.sql.json.enableExactStringParsing": Fixed("true", "JSON would not be kept as it was received"),
    "spark.sql.columnNameOfCorruptRecord": Fixed("_corrupt_record", "broken records would be told from no column"),
    "spark.sql.variable.substitute": Fixed("false", "a name or a text with ${…} in it would show what it refers to"),
    "spark.sql.parser.escapedStringLiterals": Fixed("false", "a text in SQL would be another text"),
    "spark.sql.parser.quotedRegexColumnNames": Fixed("false", "a name in backticks would be a pattern of names"),
    "spark.sql.ansi.doubleQuotedIdentifiers": Fixed("false", "a text in SQL would be a name"),
    "spark.sql.ansi.enforceReservedKeywords": Fixed("false", "columns could not be called what they are called"),
    "spark.databricks.delta.schema.autoMerge.enabled": Fixed("false", "tables would take columns that no job declares"),
    "spark.databricks.delta.replaceWhere.constraintCheck.enabled": Fixed(
        "true", "rows could be written beside those that are replaced"
    ),
    "spark.databricks.delta.stalenessLimit": Fixed("0ms", _OLD_STATE),
    "spark.databricks.delta.checkLatestSchemaOnRead": Fixed("true", _OLD_STATE),
    "spark.sql.sources.useV1SourceList": Fixed(
        "avro,csv,json,kafka,orc,parquet,text", "where a record stands in its file could not be told"
    ),
}
"""By name, each with Spark's own default but for those that every session is given.

A session of somebody else's has these values while a job runs in it.
"""

UNSET: dict[str, str] = {
    "spark.databricks.delta.write.txnAppId": "Delta would take writes for made already, and leave them out",
    "spark.databricks.delta.write.txnVersion": "Delta would take writes for made already, and leave them out",
    "spark.databricks.delta.commitInfo.userMetadata": "commits would bear a note that this library did not write",
}
"""What no session has while a job runs in it, each with what it would do: Delta has no value for it by itself."""

_LEGACY = re.compile(r"spark\.sql\.legacy\..+|spark\.sql\..+\.(datetime|int96)RebaseModeIn(Read|Write)")


def refusal(name: str) -> str | None:
    """Say why an environment may not have this setting; None where it may."""
    if fixed := FIXED.get(name):
        return f"'{name}' is always {fixed.value}: else {fixed.reason}; leave it out"
    if reason := UNSET.get(name):
        return f"'{name}' cannot be set: {reason}; leave it out"
    if _LEGACY.fullmatch(name):
        return f"'{name}' gives values the meaning that they had in older versions; leave it out"
    return None
