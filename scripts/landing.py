"""A landing zone as bad as real ones: customers and orders, day by day, with dirt, disorder and broken files.

Each file is a pure function of the settings and its day. So a second run with more days adds files and changes none,
and two people who use the same seed look at the same bytes. An order's whole life is drawn from its number alone;
a day's update file is then a selection from the lives of the last days' orders.

What is wrong in these files, and when, stands in `FIELD_DIRT`, `CSV_DIRT`, `JSON_DIRT` and `broken_files`.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random

import click

Fields = dict[str, str | None]

FIRST_CUSTOMERS = 200
NEW_CUSTOMERS_PER_DAY = 3
CHANGED_CUSTOMERS = 0.08
CUSTOMER_COLUMNS = ("customer_id", "name", "email", "segment", "country", "updated_at")
TIER_FROM_DAY = 3

ORDER_COLUMNS = ("order_id", "customer_id", "status", "amount", "currency", "ordered_at", "updated_at")
COUPON_FROM_DAY = 3
STEPS = ("open", "paid", "shipped", "delivered")
COUPONS = (None, None, None, "SPRING", "ÉTÉ-10", '10 "off"', "2,5 less", "two\nlines")

ORDERS_OF_A_DAY = 1_000_000  # order_id = day * this + index
LATE_FIRST, LATE_COUNT, LATE_DATED, LATE_ARRIVES = 900_001, 12, 2, 4
DIRT_FIRST = 950_001
CUT_FIRST, CUT_COUNT = 960_001, 200
LOOKBACK_DAYS = 7  # an update comes at most this long after its order: 3 days of life, 3 of delay, 1 of repetition

NAMES = (
    "Ada Lovelace",
    'Zoë "Zed" Żak',
    "Łukasz, son of Jan",
    "李小龍",
    "Åsa Öberg\nStorgatan 1\n\nStockholm",
    "O'Brien",
    "Ana 🚀 Müller",
    'back\\slash \\"quoted\\"',
    "ends with a backslash, \\",
    "  padded  ",
    "#not a comment",
    "null",
)

FIELD_DIRT: dict[str, Fields] = {
    "bad_update_date": {"updated_at": "2026-02-30T10:15:30Z"},
    "bad_order_date": {"ordered_at": "2026-02-30 10:15:30"},
    "amount_comma": {"amount": "12,50"},
    "amount_word": {"amount": "abc"},
    "amount_too_big": {"amount": "12345678901.00"},
    "amount_nan": {"amount": "NaN"},
    "amount_negative": {"amount": "-5.00"},
    "amount_three_decimals": {"amount": "12.345"},
    "no_order_id": {"order_id": None},
    "huge_order_id": {"order_id": "9223372036854775808"},
    "unknown_status": {"status": "???"},
    "several_faults": {"order_id": None, "amount": "abc"},
    "negative_and_unknown": {"amount": "-0.01", "status": "???"},
}
CSV_DIRT = ("too_few_fields", "too_many_fields", "only_commas", "blank_line", *FIELD_DIRT)
JSON_DIRT = (
    "truncated_line", "array", "bare_string", "duplicate_key", "empty_object", "blank_line", *FIELD_DIRT,
)  # fmt: skip

JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")


@dataclass(frozen=True)
class Settings:
    """What the bytes depend on, beside the day."""

    start: date = date(2026, 3, 1)
    seed: int = 7
    orders_per_day: int = 400

    def rng(self, *parts: object) -> Random:
        """A source of chance for one purpose: drawing more for one thing never shifts another."""
        return Random(":".join(map(str, (self.seed, *parts))))  # noqa: S311 - test data, no secret

    def midnight(self, day: int) -> datetime:
        return datetime.combine(self.start + timedelta(days=day - 1), time(), UTC)

    def name(self, day: int) -> str:
        return self.midnight(day).date().isoformat()


@dataclass(frozen=True)
class Event:
    """A state of an order as its source sends it, and the days whose update files carry it (none: it is the order)."""

    fields: Fields
    days: tuple[int, ...] = ()


# --- files ------------------------------------------------------------------------------------------------------------


def files_of_day(settings: Settings, day: int) -> dict[str, bytes]:
    """Every file that arrives on a day, by its path in the landing zone."""
    return {
        **customer_files(settings, day),
        **order_files(settings, day),
        **update_files(settings, day),
        **broken_files(settings, day),
    }


def write(directory: Path, days: int, settings: Settings | None = None) -> list[str]:
    """Write the files of days 1 to `days` that are not there yet; give back the paths of those written.

    A file appears whole or not at all: a reader may be watching the folder.
    """
    settings = settings or Settings()
    written = []
    for day in range(1, days + 1):
        for name, content in files_of_day(settings, day).items():
            path = directory / name
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.draft")
            draft.write_bytes(content)
            draft.replace(path)
            written.append(name)
    return written


def customer_files(settings: Settings, day: int) -> dict[str, bytes]:
    """Day 1: everyone. Later: who changed or is new. The layout drifts: a BOM, another order, columns more and less."""
    rng = settings.rng("customers", day)
    columns: Sequence[str] = CUSTOMER_COLUMNS
    if day >= TIER_FROM_DAY:
        columns = ("updated_at", "loyalty_tier", *columns[:-1]) if day % 2 else (*columns, "loyalty_tier")
    versions = [version for customer in range(1, customers_on(day) + 1)
                if (version := customer_version(settings, customer, day))]  # fmt: skip
    files = {}
    if day == 3:
        from_crm = [version for version in versions if int(version["customer_id"] or 0) % 4 == 0]
        versions = [version for version in versions if version not in from_crm]
        thin = [column for column in CUSTOMER_COLUMNS if column != "segment"]
        files[f"customers/customers_{settings.name(day)}_crm.csv"] = csv_file(thin, from_crm, rng)
    dirt = ("too_few_fields", "too_many_fields", "blank_line") if day % 3 == 2 else ()
    windows = day == 2  # as a spreadsheet saves it
    content = csv_file(columns, versions, rng, dirt=dirt, newline="\r\n" if windows else "\n", bom=windows)
    return files | packed(f"customers/customers_{settings.name(day)}.csv", content, zipped=day % 3 == 0)


def order_files(settings: Settings, day: int) -> dict[str, bytes]:
    """The day's new orders; at times yesterday's file under another name as well; on day 4 a late file of day 2."""
    files = new_orders(settings, day)
    if day % 4 == 2:
        files |= again(new_orders(settings, day - 1))
    if day == LATE_ARRIVES:
        late = [life(settings, LATE_DATED, index)[0].fields for index in late_orders(LATE_DATED)]
        rng = settings.rng("late", day)
        files[f"orders/orders_{settings.name(LATE_DATED)}_late.csv"] = csv_file(ORDER_COLUMNS, late, rng)
    return files


def new_orders(settings: Settings, day: int) -> dict[str, bytes]:
    """The file of a day's new orders, with a few lines twice and a few of the day before."""
    rng = settings.rng("orders", day)
    columns = (*ORDER_COLUMNS, "coupon") if day >= COUPON_FROM_DAY else ORDER_COLUMNS
    if day % 5 == 2:
        columns = (*columns[3:], *columns[:3])
    rows = [life(settings, day, index)[0].fields for index in range(1, settings.orders_per_day + 1)]
    rows += rng.sample(rows, max(1, len(rows) // 100))
    if day > 1:
        rows += [life(settings, day - 1, index)[0].fields for index in range(1, min(3, settings.orders_per_day) + 1)]
    rng.shuffle(rows)
    dirt = dirt_of_day(settings, day, CSV_DIRT, every=3)
    for number, kind in enumerate(dirt):
        if kind in FIELD_DIRT:
            order = life(settings, day, DIRT_FIRST + number)[0].fields
            rows.insert(rng.randrange(len(rows)), order | FIELD_DIRT[kind])
    content = csv_file(columns, rows, rng, dirt=dirt)
    return packed(f"orders/orders_{settings.name(day)}.csv", content, zipped=day % 2 == 0)


def update_files(settings: Settings, day: int) -> dict[str, bytes]:
    """The updates that arrive on a day, and now and then yesterday's file once more under another name."""
    if day < 2:
        return {}
    return new_updates(settings, day) | (again(new_updates(settings, day - 1)) if day % 4 == 3 else {})


def new_updates(settings: Settings, day: int) -> dict[str, bytes]:
    """JSON lines, in no order: updates of today, older ones that were delayed, and repetitions."""
    rng = settings.rng("updates", day)
    lines = [
        json_line(settings, event.fields)
        for created in range(max(1, day - LOOKBACK_DAYS), day + 1)
        for index in (*range(1, settings.orders_per_day + 1), *late_orders(created))
        for event in life(settings, created, index)
        if day in event.days
    ]
    lines += rng.sample(lines, len(lines) // 50)
    rng.shuffle(lines)
    for number, kind in enumerate(dirt_of_day(settings, day, JSON_DIRT, every=2)):
        # Odd seconds: a life has even ones, so dirt never ties with a good update of the same order.
        at = settings.midnight(day) + timedelta(hours=23, seconds=2 * number + 1)
        victim = life(settings, day - 1, 1 + number % settings.orders_per_day)[0].fields
        line = dirty_json(kind, json_line(settings, victim | {"updated_at": iso(at)} | FIELD_DIRT.get(kind, {})))
        lines.insert(rng.randrange(len(lines) + 1), line)
    ending = "" if day % 2 == 0 else "\n"  # a last line with no line end is a record all the same
    content = ("\n".join(lines) + ending).encode()
    return packed(f"orders/updates_{settings.name(day)}.json", content, zipped=day % 2 == 1)


def broken_files(settings: Settings, day: int) -> dict[str, bytes]:
    """Files that nobody can read as what they claim to be, and one that holds a header and nothing else."""
    name = settings.name(day)
    if day == 1:
        return {f"orders/notes_{name}.txt": b"Dear team, the export starts today.\n"}
    if day == 2:
        rows = [life(settings, day, CUT_FIRST + number)[0].fields for number in range(CUT_COUNT)]
        whole = gzip.compress(csv_file(ORDER_COLUMNS, rows, settings.rng("cut", day)), mtime=0)
        return {f"orders/orders_{name}_b.csv.gz": whole[: len(whole) // 2]}
    if day == 3:
        at = settings.midnight(day) + timedelta(hours=12, seconds=1)
        french: list[Fields] = [
            {"customer_id": str(number), "name": "Renée Lefèvre", "country": "FR", "updated_at": iso(at)}
            for number in (1, 2, 3)
        ]
        latin = csv_file(CUSTOMER_COLUMNS, french, settings.rng("french", day)).decode().encode("latin-1")
        return {
            f"orders/export_{name}.parquet": b"this is text under the name of a Parquet file\n",
            f"orders/orders_{name}_b.csv": b"",
            f"orders/orders_{name}_c.csv": csv_file(ORDER_COLUMNS, [], settings.rng("nothing", day)),
            f"customers/customers_{name}_fr.csv": latin,
        }
    return {}


def packed(name: str, content: bytes, *, zipped: bool) -> dict[str, bytes]:
    """One file, gzipped where asked for, with no time in it."""
    return {f"{name}.gz": gzip.compress(content, mtime=0)} if zipped else {name: content}


def again(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same bytes under another name."""
    return {re.sub(r"(\.\w+(\.gz)?)$", r"_again\1", name): content for name, content in files.items()}


# --- customers and orders ---------------------------------------------------------------------------------------------


def customers_on(day: int) -> int:
    """How many customers there are at the end of a day."""
    return FIRST_CUSTOMERS + NEW_CUSTOMERS_PER_DAY * (day - 1)


def customer_version(settings: Settings, customer: int, day: int) -> Fields | None:
    """What a customer became on a day, or None. One version a day at most, so no two share their `updated_at`."""
    rng = settings.rng("customer", customer, day)
    is_new = day == 1 or customer > customers_on(day - 1)
    if not is_new and rng.random() >= CHANGED_CUSTOMERS:
        return None
    at = settings.midnight(day) + timedelta(seconds=2 * rng.randrange(43_200))
    return {
        "customer_id": str(customer),
        "name": NAMES[customer // 3 % len(NAMES)] if customer % 3 == 0 else f"Customer {customer}",
        "email": None if rng.random() < 0.05 else f"c{customer}.{day}@example.com",
        "segment": rng.choice(("retail", "retail", "business", "vip", None)),
        "country": rng.choice(("DE", "FR", "PL", "SE", "NA")),
        "updated_at": iso(at, spaced=rng.random() < 0.4),
        "loyalty_tier": rng.choice(("bronze", "silver", "gold", None)),
    }


def late_orders(day: int) -> range:
    """Orders of a day whose own file is late: their updates come first."""
    return range(LATE_FIRST, LATE_FIRST + LATE_COUNT if day == LATE_DATED else LATE_FIRST)


def life(settings: Settings, day: int, index: int) -> list[Event]:
    """An order and its updates. Each state is later than the one before, in even seconds: no two tie."""
    rng = settings.rng("order", day, index)
    at = settings.midnight(day) + timedelta(seconds=2 * rng.randrange(43_200))
    order: Fields = {
        "order_id": str(day * ORDERS_OF_A_DAY + index),
        "customer_id": buyer(rng, day),
        "status": written_status(rng, "open"),
        "amount": None if rng.random() < 0.01 else written_amount(rng, rng.randrange(0, 50_000)),
        "currency": rng.choice(("EUR", "EUR", "USD", "SEK", None)),
        "ordered_at": iso(at, spaced=rng.random() < 0.4),
        "updated_at": iso(at, spaced=rng.random() < 0.4),
    }
    if day >= COUPON_FROM_DAY:
        order["coupon"] = rng.choice(COUPONS)
    events = [Event(order)]
    step = 0
    for _ in range(rng.randint(0, 4)):
        at += timedelta(seconds=2 * rng.randint(300, 30_000))
        order = order | {"updated_at": iso(at, spaced=rng.random() < 0.4)}
        chance = rng.random()
        if chance < 0.2:
            order["amount"] = written_amount(rng, rng.randrange(0, 50_000))
        elif chance < 0.3:
            order["status"], step = written_status(rng, "cancelled"), len(STEPS)
        else:
            step += 1
            order["status"] = written_status(rng, STEPS[step])
        sent = (at.date() - settings.start).days + 1 + rng.choice((0,) * 14 + (1, 1, 1, 2, 2, 3))
        first = max(2, sent)
        events.append(Event(order, (first, first + 1) if rng.random() < 0.03 else (first,)))
        if step >= len(STEPS) - 1:
            break
    return events


def buyer(rng: Random, day: int) -> str | None:
    """Mostly a customer; at times one that nobody knows, or nobody."""
    chance = rng.random()
    if chance < 0.01:
        return None
    return str(rng.randint(900_000, 900_099) if chance < 0.03 else rng.randint(1, customers_on(day)))


def written_status(rng: Random, status: str) -> str:
    """A status as people type it."""
    return rng.choice((status,) * 8 + (status.upper(), f" {status.upper()} "))


def written_amount(rng: Random, cents: int) -> str:
    """An amount as text; two decimals mostly, and what means the same number."""
    text = f"{cents // 100}.{cents % 100:02d}"
    return rng.choice((text,) * 8 + (f"{text}0", text.removesuffix("0")))


def iso(at: datetime, *, spaced: bool = False) -> str:
    """A UTC time in one of the two forms that the sources use."""
    return at.strftime("%Y-%m-%d %H:%M:%S" if spaced else "%Y-%m-%dT%H:%M:%SZ")


# --- text -------------------------------------------------------------------------------------------------------------


def dirt_of_day(settings: Settings, day: int, kinds: Sequence[str], *, every: int) -> list[str]:
    """The kinds of dirt of a day: each is certain once in `every` days, and comes by chance on others."""
    rng = settings.rng("dirt", kinds[0], day)
    return [kind for number, kind in enumerate(kinds) if (day + number) % every == 0 or rng.random() < 0.15]


def csv_file(
    columns: Sequence[str],
    rows: Sequence[Fields],
    rng: Random,
    *,
    dirt: Sequence[str] = (),
    newline: str = "\n",
    bom: bool = False,
) -> bytes:
    """Rows under a header; lines of the wrong shape are put in between as `dirt` says."""
    lines = [",".join(csv_fields([row.get(column) for column in columns], rng)) for row in rows]
    for kind in dirt:
        if kind not in FIELD_DIRT:
            lines.insert(rng.randrange(len(lines)), next(dirty_csv(kind, columns, rng)))
    text = newline.join((",".join(columns), *lines, ""))
    return text.encode("utf-8-sig" if bom else "utf-8")


def csv_fields(values: Sequence[str | None], rng: Random) -> Iterator[str]:
    """Fields as RFC 4180 writes them: quotes where they are needed, at times where not; NULL is nothing or `""`."""
    for value in values:
        chance = rng.random()
        if value is None:
            yield '""' if chance < 0.3 else ""
        elif chance < 0.05 or re.search(r'[",\r\n]', value):
            yield '"' + value.replace('"', '""') + '"'
        else:
            yield value


def dirty_csv(kind: str, columns: Sequence[str], rng: Random) -> Iterator[str]:
    """A line of the wrong shape, or of no content."""
    width = len(columns)
    match kind:
        case "too_few_fields":
            yield ",".join(str(rng.randrange(1000)) for _ in range(width - 2))
        case "too_many_fields":
            yield ",".join(str(rng.randrange(1000)) for _ in range(width + 1))
        case "only_commas":
            yield "," * (width - 1)
        case "blank_line":
            yield ""
        case _:
            raise ValueError(kind)


def json_line(settings: Settings, fields: Fields) -> str:
    """A JSON object whose keys are in any order, with numbers as text or bare, and NULL as null or left out.

    The same fields give the same line: what is delivered again is delivered exactly so.
    """
    rng = settings.rng("json", *fields.values())
    names = list(fields)
    rng.shuffle(names)
    escaped = rng.random() < 0.5
    parts = []
    for name in names:
        value = fields[name]
        bare = name in ("order_id", "customer_id") or (name == "amount" and rng.random() < 0.6)
        if value is None and rng.random() < 0.5:
            continue
        is_number = value is not None and bare and JSON_NUMBER.fullmatch(value)
        parts.append(f"{json.dumps(name)}: {value if is_number else json.dumps(value, ensure_ascii=escaped)}")
    return "{" + ", ".join(parts) + "}"


def dirty_json(kind: str, line: str) -> str:
    """A line that is no object, or one whose meaning is open; a fault of a field is in the line already."""
    match kind:
        case "truncated_line":
            return line[: len(line) // 2]
        case "array":
            return "[1,2]"
        case "bare_string":
            return '"x"'
        case "duplicate_key":
            return line.removesuffix("}") + ', "status": "paid", "status": "open"}'
        case "empty_object":
            return "{}"
        case "blank_line":
            return ""
        case _:
            return line


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--days", type=click.IntRange(min=1), required=True, help="Write the files of days 1 to N.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), default="2026-03-01", show_default=True, help="Day 1.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same bytes.")
@click.option("--orders-per-day", type=click.IntRange(1, 900_000), default=400, show_default=True)
def main(directory: Path, days: int, start: datetime, seed: int, orders_per_day: int) -> None:
    """Write a landing zone of customers and orders into DIRECTORY.

    Files that are there already stay as they are: run it again with more days, and the same other options, to let
    time go on.
    """
    written = write(directory, days, Settings(start.date(), seed, orders_per_day))
    click.echo(f"{len(written)} files written to {directory}")


if __name__ == "__main__":
    main()
