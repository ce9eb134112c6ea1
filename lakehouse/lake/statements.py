"""The one door through which text becomes SQL: nothing else of this library calls Spark's parser.

A name of somebody's (a header's, a key's of JSON, a column's) travels as a column, by ``col``. Where a text has to hold
one, ``quoted`` wrote it, and ``literal`` a value; what configuration wrote was read as data and printed anew first
(``spec.expression``, ``spec.query``). ``${…}`` means nothing to Spark in any session of ours (``spec.settings``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse.lake.frame import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

PLACES = {
    "certify.fingerprint": "the library's own sums over its ledger",
    "check.contract": "the judgement of a contract: its rules, printed anew, and columns of the library's",
    "check.late": "the library's own condition",
    "check.others": "a contract's rules that look at other rows, printed anew",
    "check.quarantine": "rows of the quarantine chosen by the library, or by --where, printed anew",
    "check.rules": "a contract's rules, printed anew",
    "check.text": "how texts are read as times, by the library",
    "lake.look": "a table's name, quoted",
    "lake.place": "names of catalogs and tables, quoted; a path as a literal",
    "lake.table": "a table's definition: names quoted, types of Spark's, texts as literals",
    "maintain.compact": "OPTIMIZE of a table, and the library's bounds",
    "maintain.expire": "ages of rows, counted by the library",
    "maintain.files": "a table's name, quoted",
    "maintain.forget": "ages of rows, counted by the library",
    "maintain.readers": "a table's name, quoted",
    "maintain.vacuum": "VACUUM of a table; an interval of its properties as a literal",
    "read.again": "rows of the quarantine chosen by the library",
    "read.csv_breaks": "the library's own condition",
    "read.event_time": "a window's values of a job, printed anew",
    "read.files": "the library's own condition",
    "read.json": "names of keys, quoted, as a wide record takes too long otherwise",
    "read.kafka": "ranges of offsets; topics as literals",
    "read.payload.avro": "how a message is taken apart, by the library",
    "read.payload.connect_types": "how values are read, by the library; names of columns that it made",
    "read.payload.debezium": "names of fields, quoted, or as literals",
    "read.payload.debezium_avro": "numbers of schemas; names of fields, quoted",
    "read.payload.keys": "how a key is taken apart, by the library",
    "recovery.diff": "the library's own condition",
    "recovery.replay": "places of rows as literals",
    "runtime.discard": "rows of the quarantine chosen by the library, and --where, printed anew",
    "runtime.quarantined": "rows of the quarantine chosen by the library, and --where, printed anew",
    "runtime.query": "the SQL of a job, printed anew, in a WITH",
    "runtime.refresh": "a table's properties as literals",
    "runtime.requeue": "rows of the quarantine chosen by the library, and --where, printed anew",
    "runtime.setback": "a version's number, and notes as literals",
    "write.append": "the library's own condition",
    "write.auxiliary": "the batch that rows are of, as literals",
    "write.commit": "MERGE: names of keys, quoted, and the library's bounds",
    "write.events": "apply_as_deletes and apply_as_truncates of a job, printed anew",
    "write.evolve": "names of columns, quoted; expressions of a table's log, printed anew",
    "write.overwrite": "replace_where of a job, printed anew; values of partitions as literals",
    "write.timeline": "the library's bounds of keys",
    "write.whole": "the library's bounds of keys",
}
"""Every module that has text made SQL, and what is in the text; a test holds it against the imports."""


def expression(text: str) -> Column:
    """The column that a text of SQL says."""
    return F.expr(text)


def array_of(names: Sequence[str]) -> Column:
    """The values of columns as one array.

    The names of a wide file are one text, where Spark is asked once: a column for each of 10,000 takes it 7 seconds.
    """
    return _of_names("array", names)


def struct_of(names: Sequence[str]) -> Column:
    """The columns as one struct."""
    return _of_names("struct", names)


def _of_names(function: str, names: Sequence[str]) -> Column:
    return expression(f"{function}({', '.join(map(quoted, names))})")


def run_sql(spark: SparkSession, text: str, **views: Any) -> DataFrame:
    """What a statement gives; ``views`` are frames that stand in it as ``{name}``."""
    return spark.sql(text, **views) if views else spark.sql(text)
