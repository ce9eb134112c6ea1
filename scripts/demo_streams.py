"""The demo of streams: orders from Kafka and customers from a data base, live, and every message accounted for."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import deltalake
import pg8000.dbapi
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from streams import Connect, Kafka, Postgres, debezium

from lakehouse.runtime.status import Status, status
from lakehouse.runtime.workplace import prepare

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".demo" / "streams"
LAKE = PLACE / "lake"
ORDERS, CUSTOMERS = "shop.order_events", "crm.public.customers"
OF_ORDERS = ("bronze_order_events", "silver_order_status", "gold_orders_per_minute")
OF_CUSTOMERS = ("bronze_crm_customers", "silver_crm_customers")
STATUSES = ("new", "paid", "packed", "sent", "returned")


class Shop(threading.Thread):
    """Tells of its orders, some 200 times a second; now and then a message is broken."""

    def __init__(self, servers: str) -> None:
        super().__init__(daemon=True)
        self.told, self.closed = 0, threading.Event()
        self._producer = Producer({"bootstrap.servers": servers, "linger.ms": 5, "log_level": 2})
        self._chance = random.Random(11)  # noqa: S311 -- of a demo

    def tell(self) -> None:
        """One message."""
        order, now = self._chance.randrange(1, 2000), datetime.now(UTC).isoformat()
        event = {
            "event_id": f"e{self.told}",
            "order_id": order,
            "status": self._chance.choice(STATUSES),
            "amount": order % 500 + 0.5,
            "at": now,
        }
        broken = {
            500: '{"event_id": ',
            1000: json.dumps({**event, "order_id": "?"}),
            1500: json.dumps({**event, "x": 1}),
        }
        self._producer.produce(ORDERS, broken.get(self.told % 1501, json.dumps(event)), key=str(order))
        self._producer.poll(0)
        self.told += 1

    def run(self) -> None:
        """Until it is closed."""
        while not self.closed.is_set():
            self.tell()
            time.sleep(0.005)
        self._producer.flush()


class Office(threading.Thread):
    """Changes its customers, some ten times a second."""

    def __init__(self, postgres: Postgres) -> None:
        super().__init__(daemon=True)
        self.closed = threading.Event()
        self._base = pg8000.dbapi.connect(**postgres.parameters)
        self._base.autocommit = True
        self._do = self._base.cursor().execute
        self._chance = random.Random(7)  # noqa: S311 -- of a demo
        self._do(
            "create table if not exists customers (id bigint primary key, name text, email text, segment text,"
            " credit numeric(12,2), notes text, updated_at timestamptz)"
        )

    def change(self) -> None:
        """One customer comes, changes or goes."""
        number = self._chance.randrange(1, 300)
        if self._chance.random() < 0.1:
            self._do("delete from customers where id = %s", (number,))
            return
        segment, credit = self._chance.choice(("home", "office", "public")), self._chance.randrange(0, 10_000)
        self._do(
            "insert into customers values (%s, %s, %s, %s, %s, %s, now())"
            " on conflict (id) do update set segment = excluded.segment, credit = excluded.credit, updated_at = now()",
            (number, f"Customer {number}", f"c{number}@example.com", segment, credit, ""),
        )

    def run(self) -> None:
        """Until it is closed."""
        while not self.closed.is_set():
            self.change()
            time.sleep(0.1)

    def customers(self) -> set[tuple[int, str, str]]:
        """What the data base holds."""
        cursor = self._base.cursor()
        cursor.execute("select id, segment, credit::text from customers")
        return {tuple(row) for row in cursor.fetchall()}


def demo(seconds: int) -> None:
    """Run the streams for so long, then prove that nothing was lost and nothing doubled."""
    console = Console() if sys.stdout.isatty() else Console(width=110)
    shutil.rmtree(PLACE, ignore_errors=True)
    with Kafka(PLACE / "kafka") as kafka:
        lacking = Postgres.lacks() or Connect.lacks()
        if lacking:
            console.print(f"[bold]without customers:[/] {lacking}")
            _live(console, kafka, None, None, seconds)
            return
        with Postgres(PLACE / "postgres") as postgres, Connect(PLACE / "connect", kafka=kafka) as connect:
            _live(console, kafka, postgres, connect, seconds)
            postgres.stop()
        postgres.wipe()


def _live(console: Console, kafka: Kafka, postgres: Postgres | None, connect: Connect | None, seconds: int) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.servers, "log_level": 2})
    admin.create_topics([NewTopic(ORDERS, 2, 1)])[ORDERS].result(30)
    shop, office, jobs = Shop(kafka.servers), None, list(OF_ORDERS)
    for _ in range(200):
        shop.tell()
    if postgres and connect:
        office = Office(postgres)
        for _ in range(200):
            office.change()
        connect.add("crm", debezium(postgres, "crm", "public.customers"))
        jobs += OF_CUSTOMERS
        while CUSTOMERS not in admin.list_topics(timeout=10).topics:
            time.sleep(0.2)
    bronze = [job for job in jobs if job.startswith("bronze")]
    rest = [job for job in jobs if job not in bronze]
    run(console, kafka, bronze, "--trigger", "available_now").wait()
    threads = [thread for thread in (shop, office) if thread]
    for thread in threads:
        thread.start()
    _shown_while(console, kafka, jobs, seconds, shop)
    for thread in threads:
        thread.closed.set()
        thread.join()
    # the last changes may still be on their way through Debezium; the others read what bronze writes
    time.sleep(3)
    for part in (bronze, rest):
        run(console, kafka, part, "--trigger", "available_now").wait()
    prove(console, shop, office)


def _shown_while(console: Console, kafka: Kafka, jobs: list[str], seconds: int, shop: Shop) -> None:
    """Run the jobs side by side for so long, and show how they stand."""
    works = [prepare(job, lake=str(LAKE), params={"kafka": kafka.servers}, root=ROOT) for job in jobs]
    process = run(console, kafka, jobs)
    with Live(console=console, refresh_per_second=2) as live:
        until = time.monotonic() + seconds
        while time.monotonic() < until and process.poll() is None:
            live.update(Group(shown([status(work) for work in works]), f"{shop.told:,} messages told"))
            time.sleep(0.5)
    console.print("\n[bold]stopped[/] by SIGTERM, after the batch that each was at; then what is left:")
    process.send_signal(signal.SIGTERM)
    process.wait()


def run(console: Console, kafka: Kafka, jobs: list[str], *options: str) -> subprocess.Popen[bytes]:
    """Start jobs side by side in one process."""
    command = ["lakehouse", "run", *jobs, "--lake", str(LAKE.relative_to(ROOT)), *options]
    if any(job.startswith("bronze") for job in jobs):
        command += ["--param", f"kafka={kafka.servers}"]
    console.print(f"[bold]$ {' '.join(command)}[/]", highlight=False)
    with (PLACE / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)


def shown(found: list[Status]) -> Table:
    """How each stream stands."""
    table = Table(title="streams", title_justify="left")
    for name in ("job", "batch", "rows/s", "behind", "seconds behind"):
        table.add_column(name, justify="left" if name == "job" else "right")
    for one in found:
        behind = one.behind[0] if one.behind else None
        table.add_row(
            one.job,
            "" if one.batch is None else f"{one.batch:,}",
            "" if one.rows_per_second is None else f"{one.rows_per_second:,.0f}",
            f"{behind.count:,} {behind.unit}" if behind else "",
            "" if not behind or behind.seconds is None else f"{behind.seconds:.1f}",
        )
    return table


def prove(console: Console, shop: Shop, office: Office | None) -> None:
    """Hold what was told against what is in the tables, by another reader than Spark."""
    kept, aside = count("bronze/order_events"), count("quarantine/bronze_order_events")
    good = "[green]every one accounted for[/]" if kept + aside == shop.told else "[red]they differ[/]"
    console.print(f"{shop.told:,} messages told = {kept:,} in bronze + {aside:,} in quarantine: {good}")
    failed = kept + aside != shop.told
    if office:
        query = "select id, segment, credit from t"
        found = _reader("silver/crm_customers").execute(query).read_all()
        columns = [[value.as_py() for value in found[name]] for name in ("id", "segment", "credit")]
        rows = [(number, segment, str(credit)) for number, segment, credit in zip(*columns, strict=True)]
        same = set(rows) == office.customers()
        failed |= not same
        told = "[green]the same[/]" if same else "[red]they differ[/]"
        console.print(f"{len(rows):,} customers in silver, and in the data base: {told}")
    console.print("lakehouse status --lake .demo/streams/lake        # while the streams run", markup=False)
    if failed:
        sys.exit(1)


def count(table: str) -> int:
    """Rows of a table; none where there is no table."""
    if not (LAKE / table).exists():
        return 0
    return _reader(table).execute("select count(*) as n from t").read_all()["n"][0].as_py()


def _reader(table: str) -> deltalake.QueryBuilder:
    return deltalake.QueryBuilder().register("t", deltalake.DeltaTable(LAKE / table))
