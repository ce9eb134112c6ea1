"""What ``lakehouse status`` says of jobs: of streams, also after a rebuild, and of jobs of tables only."""

from __future__ import annotations

from lakehouse.runtime.status import status, told
from lakehouse.runtime.workplace import prepare

BRONZE = """
sources: {orders: {kind: files, path: "${param:landing}/orders", format: csv}}
write: {table: bronze.orders, mode: append}
"""
GOLD = """
sources: {orders: {kind: table, table: bronze.orders}}
write: {table: gold.orders, mode: overwrite}
"""


def test_every_job_says_what_it_did_last_and_how_far_it_is_behind(workshop) -> None:
    workshop.job("bronze", BRONZE)
    workshop.job("gold", GOLD)
    workshop.land("orders/1.csv", "id\n1\n2\n")

    def found(job: str):
        params = {"landing": str(workshop.landing)} if job == "bronze" else {}
        one = status(prepare(job, lake=str(workshop.folder), params=params, root=workshop.project))
        return one, list(told(one))

    gold, lines = found("gold")
    assert (gold.committed_at, gold.error) == (None, "SOURCE_NOT_FOUND: no table bronze.orders")
    assert lines[1] == "  last commit: none"
    workshop.run("bronze")
    assert found("gold")[0].behind[0].count == 1
    workshop.run("gold")
    gold, lines = found("gold")
    assert (gold.batch, gold.behind[0].of, gold.behind[0].count) == (None, "bronze.orders", 0)
    assert lines[1].startswith("  last commit: all of its tables, ")
    bronze, lines = found("bronze")
    assert (bronze.batch, bronze.read, bronze.rebuilt) == (0, 2, False)
    assert lines[1].startswith("  last commit: batch 0, 2 rows read, ")
    workshop.run("bronze", full_refresh=True)
    bronze, lines = found("bronze")
    assert (bronze.batch, bronze.rebuilt, bronze.behind[0].count) == (0, True, 0)
    assert lines[1].startswith("  last commit: rebuilt by --full-refresh, up to batch 0, ")
    assert found("gold")[0].behind[0].count == 1
    workshop.land("orders/2.csv", "id\n3\n")
    workshop.run("bronze")
    bronze, lines = found("bronze")
    assert (bronze.batch, bronze.read, bronze.rebuilt) == (1, 1, False)
