"""From a data base through Debezium and Kafka into a table: it ends as the data base has it, whatever is killed."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pg8000.dbapi
import pytest

from lakehouse.testing import LocalLake
from scripts.streams import debezium

ROOT = Path(__file__).parents[2]
TABLE = (
    "create table customers (id bigint primary key, name text, email text, segment text, credit numeric(12,2),"
    " notes text, updated_at timestamptz default now())"
)
LONG = "x" * 20_000
"""Longer than a page: it lies beside its row, and is not told again where it is not changed (TOAST)."""


def by_id(row: tuple) -> tuple:
    return tuple(str(value) for value in row)


class Office:
    """A data base of customers, and somebody who changes it."""

    def __init__(self, postgres) -> None:
        self.parameters = postgres.parameters
        self.chance = random.Random(5)
        self.does("drop table if exists customers", TABLE)

    def does(self, *statements: str) -> list:
        connection = pg8000.dbapi.connect(**self.parameters)
        connection.autocommit = True
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        connection.close()
        return rows

    def changes(self, count: int) -> None:
        chance, statements = self.chance, []
        for _ in range(count):
            key, other = chance.randrange(60), chance.randrange(1000, 2000)
            credit = chance.randrange(10_000) / 4
            statements.append(
                chance.choice(
                    [
                        f"insert into customers (id, name, segment, credit, notes) values ({key}, 'n', 'new', {credit}, repeat('x', 20000)) on conflict (id) do update set segment = 'again', notes = null",
                        f"insert into customers (id, name, segment, credit, notes) values ({key}, 'n', 'new', {credit}, repeat('x', 20000)) on conflict (id) do update set credit = {credit}",
                        f"update customers set segment = 's{other}' where id = {key}",
                        f"update customers set credit = {credit}, updated_at = now() where id = {key}",
                        f"delete from customers where id = {key}",
                        f"update customers set id = {other} where id = {key} and not exists (select from customers where id = {other})",
                    ]
                )
            )
        self.does(*statements)

    def customers(self) -> list[tuple]:
        found = self.does("select id, name, segment, credit, length(notes) from customers")
        return sorted(found, key=by_id)


@dataclass
class Crm:
    """The shipped jobs on a data base of a test's own."""

    office: Office
    lake: LocalLake
    servers: str
    capture: Callable[..., None]

    def run(self) -> None:
        self.lake.run("bronze_crm_customers", params={"kafka": self.servers})
        self.lake.run("silver_crm_customers")

    def silver(self) -> list[tuple]:
        if self.lake.version("silver.crm_customers") is None:
            return []
        found = self.lake.frame("silver.crm_customers").selectExpr("id", "name", "segment", "credit", "length(notes)")
        return sorted(map(tuple, found.collect()), key=by_id)

    def settle(self, seconds: float = 90) -> None:
        """Run until silver is as the data base is, or the time is over."""
        until = time.monotonic() + seconds
        while self.silver() != self.office.customers() and time.monotonic() < until:
            time.sleep(1)
            self.run()


@pytest.fixture
def crm(spark, tmp_path, postgres, kafka, connect):
    for part in (kafka, postgres, connect):
        part.start()
    prefix = f"crm{uuid4().hex[:8]}"
    project = tmp_path / "project"
    for folder in ("conf", "contracts", "jobs"):
        shutil.copytree(ROOT / folder, project / folder)
    for job in ("bronze", "silver"):
        path = project / "conf" / f"{job}_crm_customers.yaml"
        text = path.read_text().replace("as_fast_as_possible", "available_now")
        path.write_text(text.replace("crm.public.customers", f"{prefix}.public.customers"))

    def capture(**more: str) -> None:
        connect.add(prefix, debezium(postgres, prefix, "public.customers", more=more))

    yield Crm(Office(postgres), LocalLake(spark, tmp_path / "lake", project), kafka.servers, capture)
    connect.start()
    connect.remove(prefix)


def test_rows_that_change_while_the_first_snapshot_is_taken_end_right(crm):
    crm.office.does(
        "insert into customers (id, name, segment, credit, notes)"
        " select n, 'n', 'old', n, repeat('x', 20000) from generate_series(0, 59) n"
    )
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            crm.office.changes(10)

    meanwhile = threading.Thread(target=change)
    meanwhile.start()
    crm.capture(**{"snapshot.fetch.size": "2", "max.batch.size": "5", "max.queue.size": "20"})
    time.sleep(3)
    crm.run()
    stop.set()
    meanwhile.join()
    crm.settle()
    assert crm.silver() == crm.office.customers()
    assert all(isinstance(row[3], Decimal) for row in crm.silver())
    assert crm.lake.version("quarantine.bronze_crm_customers") is None


def test_connector_broker_and_data_base_are_killed_in_any_order_and_nothing_is_lost(crm, kafka, connect, postgres):
    crm.capture()
    crm.office.changes(50)
    crm.settle()
    assert crm.silver() == crm.office.customers()
    chance = random.Random(3)
    for part in chance.sample([connect, kafka, postgres, connect], 4):
        crm.office.changes(20)
        part.kill()
        part.start()
        connect.start()
        crm.office.changes(20)
        if chance.random() < 0.5:
            crm.run()
    crm.settle()
    assert crm.silver() == crm.office.customers()


def test_a_truncate_empties_the_table_and_what_comes_after_stays(crm):
    crm.capture(**{"skipped.operations": "none"})
    crm.office.changes(30)
    crm.settle()
    assert crm.silver() == crm.office.customers()
    crm.office.does("truncate customers", "insert into customers (id, name, credit) values (7, 'after', 1)")
    crm.settle()
    assert crm.silver() == crm.office.customers()
    assert [row[:2] for row in crm.silver()] == [(7, "after")]


def test_a_column_that_is_added_is_told_of_and_can_be_taken_in(crm):
    crm.capture()
    crm.office.changes(20)
    crm.settle()
    assert crm.silver() == crm.office.customers()
    crm.office.does(
        "alter table customers add column phone text",
        "insert into customers (id, name, credit, phone) values (5000, 'new', 1, '1')",
    )
    until = time.monotonic() + 60
    while crm.lake.version("quarantine.bronze_crm_customers") is None and time.monotonic() < until:
        crm.run()
    (aside,) = crm.lake.rows("quarantine.bronze_crm_customers", "code")
    assert aside == ("UNKNOWN_FIELD",)
