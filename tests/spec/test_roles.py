"""Every type in every role that a contract or a write can give a column: taken, or refused by the check with its place."""

from __future__ import annotations

import pytest

from lakehouse.spec.column_type import known_type
from lakehouse.spec.layout import review_jobs
from lakehouse.spec.project import Project

EXACT = ("tinyint", "smallint", "int", "bigint", "decimal(38,10)")
FLOATS = ("float", "double")
TIMES = ("date", "timestamp", "timestamp_ntz")
NESTED = ("array<int>", "struct<a:int>", "array<struct<a:int>>")
MAPS = ("map<string,int>", "array<map<string,int>>", "struct<a:int,m:map<int,int>>", "struct<s:struct<m:map<int,int>>>")
TYPES = ("boolean", "string", "binary", *EXACT, *FLOATS, *TIMES, *NESTED, "array<string>", *MAPS)
COMPARED = tuple(kind for kind in TYPES if kind not in MAPS)
PARTITIONS = ("boolean", "string", *EXACT, *TIMES)
CLUSTERS = ("string", *EXACT, *FLOATS, *TIMES)

ROLES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "value": ("mode: append", "", TYPES),
    "keys": ("mode: scd1, keys: [id, v], sequence_by: id", "", COMPARED),
    "keys of scd2": ("mode: scd2, keys: v, sequence_by: id", "", COMPARED),
    "keys of a snapshot": ("mode: snapshot, snapshot_as: scd1, keys: V, snapshot_by: id", "", COMPARED),
    "sequence_by": ("mode: scd1, keys: id, sequence_by: [id, v]", "", COMPARED),
    "sequence_by of scd2": ("mode: scd2, keys: id, sequence_by: V", "", COMPARED),
    "snapshot_by": ("mode: snapshot, snapshot_as: scd2, keys: id, snapshot_by: v", "", COMPARED),
    "identity": ("mode: append, identity: [id, v]", "", COMPARED),
    "partition_by": ("mode: append, partition_by: v", "", PARTITIONS),
    "partition_by of scd2": ("mode: scd2, keys: id, sequence_by: id, partition_by: v", "", PARTITIONS),
    "cluster_by": ("mode: append, cluster_by: [id, v]", "", CLUSTERS),
    "track_history": ("mode: scd2, keys: id, sequence_by: id, track_history: v", "", TYPES),
    "ignore_null_updates": ("mode: scd1, keys: id, sequence_by: id, ignore_null_updates: v", "", TYPES),
    "update_columns": ("mode: scd1, keys: id, sequence_by: id, update_columns: v", "", ("array<string>",)),
    "unique": ("mode: append", "rules: [{name: r, check: 'unique(`v`, id)'}]", COMPARED),
    "exists_in": ("mode: append", "rules: [{name: r, check: 'exists_in(v, silver.o.v)'}]", COMPARED),
    "key": ("mode: append", "key: v", COMPARED),
    "freshness": ("mode: append", "freshness: {column: v, within: 1 day}", ("string", *TIMES)),
}
"""What a write says, what its contract says, and the types that may have the role."""

JOB = """
job: x
about: For a test.
sources: {{a: {{kind: table, table: bronze.a, stream: true}}}}
write: {{table: silver.a, {write}, contract: {{{contract}columns: {{id: bigint, v: {{type: "{kind}", nullable: false}}}}}}}}
"""


@pytest.mark.parametrize("role", ROLES)
def test_a_type_has_a_role_or_is_refused_at_its_line(folder, role):
    write, contract, takes = ROLES[role]
    refused = set()
    for kind in TYPES:
        text = JOB.format(write=write, contract=contract and contract + ", ", kind=kind)
        if kind in takes:
            assert folder.job(text).write.contract.types["v"] == kind
        else:
            (problem,) = folder.problems(text)
            assert problem.startswith("conf/x.yaml:5:")
            assert kind in problem
            refused.add(kind)
    assert refused == {*TYPES} - {*takes}


@pytest.mark.parametrize(
    "text",
    ["time", "time(6)", "interval year", "interval day to second", "variant", "void", "char(3)", "varchar(3)", "string collate UTF8_LCASE"],
)  # fmt: skip
def test_what_no_contract_can_declare_is_refused_at_any_depth(text):
    for kind in (text, f"array<{text}>", f"map<string,{text}>", f"struct<a:int,b:struct<c:{text}>>"):
        with pytest.raises(ValueError, match="unknown type"):
            known_type(kind)


def test_a_type_of_the_source_counts_where_nothing_stands_between(folder):
    folder.write("conf/env/local.yaml", "lake: lake\nparams: {}\n")
    text = """
    job: x
    about: a
    sources: {a: {kind: files, path: in, contract: {columns: {id: bigint, f: double, m: "map<int,int>", n: "map<int,int>"}}}}
    write: {table: silver.a, mode: scd1, keys: [id, K], sequence_by: n, partition_by: f, rename: {M: k}, contract: {columns: {n: int}}}
    """
    folder.write("conf/x.yaml", text)

    def said() -> list[str]:
        return [str(one) for one in review_jobs(Project(folder.root), None, {})["x"].problems]

    assert [one.split(", and ")[0] for one in said()] == [
        "conf/x.yaml:5:44: write.keys: 'K' is declared as map<int,int>, which Spark cannot compare; name another column",
        "conf/x.yaml:5:83: write.partition_by: 'f' is a double",
    ]
    folder.write("jobs/x.sql", "SELECT id, f, n FROM a")
    assert said() == []
