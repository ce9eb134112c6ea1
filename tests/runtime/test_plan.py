"""What a plan says of a table that is there."""

from __future__ import annotations

from pyspark.sql.types import IntegerType, LongType, StructType

from lakehouse.lake.table import Table
from lakehouse.lake.types import Difference
from lakehouse.runtime.plan import _changed
from lakehouse.spec.write import AppendWrite
from lakehouse.write.evolve import Fit


def test_a_type_that_is_to_grow_is_said_with_the_readers_that_cannot_open_the_table_then() -> None:
    spec, target = AppendWrite(table="silver.t", mode="append", evolve="widen"), Table("silver.t", "/none")
    new = Difference("q", "new", None, LongType())
    wider = Difference("p", "wider", IntegerType(), LongType())
    told = list(_changed(Fit(None, StructType(), (new, wider), ("ALTER …",)), spec, target))
    assert told == [
        "  write silver.t (append), columns added: q bigint; types that grow: p",
        "    readers without Delta's type widening, such as deltalake 1.6, cannot open the table then",
        "    before it: ALTER …",
    ]
    assert len(list(_changed(Fit(None, StructType(), (new,)), spec, target))) == 1
