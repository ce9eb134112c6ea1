"""What a write may say of its columns, held against what its contract declares them to be."""

from __future__ import annotations

import pytest

JOB = """
job: x
about: For a test.
sources: {a: {kind: table, table: bronze.a, stream: true}}
write: {table: silver.a, WRITE, contract: {columns: {id: bigint, m: "map<string,int>", s: "struct<m: map<int,int>>", xs: array<int>}}}
"""


@pytest.mark.parametrize(
    ("write", "told"),
    [
        ("mode: scd1, keys: [id, m], sequence_by: id", "write.keys: 'm' is declared as map<string,int>, which Spark"),
        ("mode: scd1, keys: id, sequence_by: s", "write.sequence_by: 's' is declared as struct<m:map<int,int>>"),
        ("mode: scd2, keys: id, sequence_by: M", "write.sequence_by: 'M' is declared as"),
        ("mode: append, identity: [m]", "write.identity: 'm' is declared as"),
        ("mode: snapshot, snapshot_as: scd2, keys: id, snapshot_by: m", "write.snapshot_by: 'm' is declared as"),
        ("mode: append, partition_by: xs", "write.partition_by: 'xs' is declared as array<int>, which Delta"),
    ],
)
def test_what_cannot_be_compared_is_refused_where_the_contract_declares_it(folder, write, told):
    (problem,) = folder.problems(JOB.replace("WRITE", write))
    assert told in problem


@pytest.mark.parametrize("write", ["mode: scd1, keys: [id, xs], sequence_by: id", "mode: append, identity: source"])
def test_what_can_be_compared_is_taken(folder, write):
    assert folder.job(JOB.replace("WRITE", write)).write.contract
