"""What the demo's tables must hold, computed from the raw files alone.

This is a second opinion: it shares no code with the library, uses nothing but Python's standard library, and is
written to be read and believed, not to be fast. Where the meaning of an input is not settled it raises, rather than
agree with whatever the library does.

Times are naive and in UTC, amounts are `Decimal` with two places, bronze values are the strings received or None.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

Values = dict[str, str | None]
Row = dict[str, object]

STATUSES = {"open", "paid", "shipped", "delivered", "cancelled"}


@dataclass(frozen=True)
class Record:
    """A record that bronze accepts. `file` is relative to the landing zone; `position` counts records from 1."""

    file: str
    position: int
    values: Values


@dataclass(frozen=True)
class Refused:
    """A record, or with no position a whole file, that bronze cannot take. `received` is the record's text."""

    file: str
    position: int | None
    code: str
    received: str | None = None


@dataclass(frozen=True)
class Bronze:
    """One bronze table: every column ever seen, and None where a record's file did not have it."""

    columns: tuple[str, ...]
    records: list[Record]
    quarantine: list[Refused]


@dataclass(frozen=True)
class Rejected:
    """A bronze record that breaks the contract of silver: `reasons` are (code, column), `codes` each code once."""

    record: Record
    reasons: tuple[tuple[str, str], ...]

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(sorted({code for code, _ in self.reasons}))


@dataclass(frozen=True)
class Silver:
    """Orders in their latest state by `order_id`, and what became of the bronze records that gave none."""

    rows: dict[int, Row]
    accepted: list[Record]
    quarantine: list[Rejected]
    dropped: list[Record]


@dataclass(frozen=True)
class Account:
    """One file's records. `records` is counted apart from the reading; a file with a `code` has none that count.

    records = bronze_accepted + bronze_quarantined; for orders bronze_accepted = the three of silver.
    """

    records: int
    code: str | None
    bronze_accepted: int
    bronze_quarantined: int
    silver_accepted: int
    silver_quarantined: int
    silver_dropped: int


@dataclass(frozen=True)
class Expected:
    """All that the demo must end in; `accounts` is by file."""

    bronze_orders: Bronze
    bronze_customers: Bronze
    silver_orders: Silver
    gold_daily_sales: list[Row]
    accounts: dict[str, Account]


def expect(landing: Path) -> Expected:
    """The state of every table after all files of a landing zone were taken in."""
    orders, customers = bronze(landing, "orders"), bronze(landing, "customers")
    silver = silver_orders(orders)
    sales = daily_sales(silver.rows.values(), latest_customers(customers))
    return Expected(orders, customers, silver, sales, accounts(landing, (orders, customers), silver))


# --- bronze -----------------------------------------------------------------------------------------------------------


class FileError(Exception):
    """A whole file that cannot be taken; its only argument is the code."""


class RecordError(Exception):
    """A record that cannot be taken; its only argument is the code."""


def bronze(landing: Path, folder: str) -> Bronze:
    """All records of a folder, files in the order of their names."""
    records: list[Record] = []
    quarantine: list[Refused] = []
    columns: dict[str, None] = {}
    for path in landing_files(landing, folder):
        file = path.relative_to(landing).as_posix()
        try:
            found = list(read(path))
        except FileError as error:
            quarantine.append(Refused(file, None, str(error)))
            continue
        for position, (received, values) in enumerate(found, start=1):
            if isinstance(values, RecordError):
                quarantine.append(Refused(file, position, str(values), received))
            else:
                records.append(Record(file, position, values))
                columns.update(dict.fromkeys(values))
    filled = [Record(record.file, record.position, {name: record.values.get(name) for name in columns})
              for record in records]  # fmt: skip
    return Bronze(tuple(columns), filled, quarantine)


def landing_files(landing: Path, folder: str) -> list[Path]:
    """The files of a folder; hidden ones are drafts."""
    return sorted(path for path in (landing / folder).glob("*") if path.is_file() and not path.name.startswith("."))


def read(path: Path) -> Iterator[tuple[str, Values | RecordError]]:
    """Each record of a file as its text and its values, or what is wrong with it; blank lines are no records."""
    text = text_of(path)
    return read_csv(text) if path.name.removesuffix(".gz").endswith(".csv") else read_json(text)


def text_of(path: Path) -> str:
    """The text of a CSV or JSON file, with no byte order mark."""
    content = path.read_bytes()
    kind = re.search(r"\.(csv|json|parquet)(\.gz)?$", path.name)
    if not kind:
        raise FileError("FILE_FORMAT")
    if not content:
        raise FileError("FILE_EMPTY")
    if kind[1] == "parquet":
        if content[:4] == content[-4:] == b"PAR1":
            raise NotImplementedError(f"{path} is Parquet, which the oracle does not read")
        raise FileError("FILE_UNREADABLE")
    if kind[2]:
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise FileError("FILE_UNREADABLE") from error
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise FileError("FILE_ENCODING") from error


def read_csv(text: str) -> Iterator[tuple[str, Values | RecordError]]:
    """RFC 4180: a quote in a quoted field is doubled, a backslash is a backslash, an empty field is NULL."""
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, strict=True)
    header: list[str] | None = None
    start = 0
    for fields in reader:
        received, start = "".join(lines[start : reader.line_num]).rstrip("\r\n"), reader.line_num
        if not fields:
            continue
        if header is None:
            header = fields
        elif len(fields) != len(header):
            yield received, RecordError("FIELD_COUNT")
        else:
            yield received, {name: value or None for name, value in zip(header, fields, strict=True)}


class Number(str):
    """A JSON number as its source text."""


def read_json(text: str) -> Iterator[tuple[str, Values | RecordError]]:
    """One object on each line; values as text, numbers as they were written."""
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            yield line, json_values(line)
        except RecordError as error:
            yield line, error


def json_values(line: str) -> Values:
    try:
        found = json.loads(
            line, parse_int=Number, parse_float=Number, parse_constant=not_json, object_pairs_hook=unique_keys
        )
    except json.JSONDecodeError as error:
        raise RecordError("MALFORMED_JSON") from error
    if not isinstance(found, dict):
        raise RecordError("MALFORMED_JSON")
    return {name: as_text(value) for name, value in found.items()}


def not_json(_constant: str) -> NoReturn:
    """Python reads a bare NaN or Infinity; JSON has neither."""
    raise RecordError("MALFORMED_JSON")


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RecordError("DUPLICATE_JSON_KEY")
    return found


def as_text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    raise NotImplementedError(f"nested JSON: {value!r}")


# --- silver -----------------------------------------------------------------------------------------------------------


def silver_orders(orders: Bronze) -> Silver:
    """The contract, the transform, then per order the state with the highest `updated_at`."""
    rows: dict[int, Row] = {}
    silver = Silver(rows, accepted=[], quarantine=[], dropped=[])
    for record in orders.records:
        row, reasons = checked(record.values)
        if reasons:
            silver.quarantine.append(Rejected(record, tuple(reasons)))
        elif row["status"] is not None and row["status"] not in STATUSES:
            silver.dropped.append(record)
        else:
            silver.accepted.append(record)
            fold(rows, row)
    return silver


def checked(values: Values) -> tuple[Row, list[tuple[str, str]]]:
    """The typed row, and every reason for quarantine. A value that cannot be cast is that, and not a NULL as well."""
    row: Row = {}
    reasons: list[tuple[str, str]] = []
    for name, cast in CONTRACT.items():
        text = values.get(name)
        try:
            row[name] = None if text is None else cast(text)
        except ValueError:
            row[name] = None
            reasons.append(("CAST", name))
        else:
            if text is None and name in NOT_NULL:
                reasons.append(("NULL_VALUE", name))
    if isinstance(value := row["amount"], Decimal) and value < 0:
        reasons.append(("RULE:amount_not_negative", "amount"))
    if "coupon" in values:
        row["coupon"] = values["coupon"]
    return row, reasons


def bigint(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text) or not -(2**63) <= int(text) < 2**63:
        raise ValueError(text)
    return int(text)


def amount(text: str) -> Decimal:
    """A decimal(12,2), exactly: trailing zeros may go, other digits may not."""
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text):
        raise ValueError(text)
    value = Decimal(text)
    if abs(value) >= Decimal(10) ** 10 or value != value.quantize(Decimal("0.01")):
        raise ValueError(text)
    return value.quantize(Decimal("0.01"))


def timestamp(text: str) -> datetime:
    """One of the two forms that the sources use, both UTC."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ| \d\d:\d\d:\d\d)", text, re.ASCII):
        raise ValueError(text)
    return datetime.fromisoformat(text.replace("T", " ").removesuffix("Z"))


def status(text: str) -> str:
    """Spark's trim takes blanks only."""
    return text.strip(" ").lower()


CONTRACT: dict[str, Callable[[str], object]] = {
    "order_id": bigint,
    "customer_id": bigint,
    "status": status,
    "amount": amount,
    "currency": str,
    "ordered_at": timestamp,
    "updated_at": timestamp,
}
NOT_NULL = {"order_id", "updated_at"}


def fold(rows: dict[int, Row], row: Row) -> None:
    """Keep the latest. Two different states with one time have no right answer here: the landing zone has none."""
    key = row["order_id"]
    assert isinstance(key, int)
    held = rows.get(key)
    if held is None or moment(row) > moment(held):
        rows[key] = row
    elif moment(row) == moment(held) and row != held:
        raise ValueError(f"order {key} has two states at {moment(row)}")


def moment(row: Row) -> datetime:
    at = row["updated_at"]
    assert isinstance(at, datetime)
    return at


# --- gold -------------------------------------------------------------------------------------------------------------


def latest_customers(customers: Bronze) -> dict[int, Values]:
    """Each customer's whole last record: a column that its file lacked is NULL, not what it was before."""
    latest: dict[int, tuple[datetime, Values]] = {}
    for record in customers.records:
        number, at = record.values["customer_id"], record.values["updated_at"]
        assert number is not None
        assert at is not None
        key, version = bigint(number), (timestamp(at), record.values)
        if key in latest and latest[key][0] == version[0] and latest[key] != version:
            raise ValueError(f"customer {key} has two states at {at}")
        if key not in latest or version[0] > latest[key][0]:
            latest[key] = version
    return {key: values for key, (_, values) in latest.items()}


def daily_sales(orders: Iterable[Row], customers: dict[int, Values]) -> list[Row]:
    """Orders that were not cancelled by day and segment, sorted; a group of NULL amounts only has no revenue."""
    groups: dict[tuple[date, str], list[Decimal | None]] = defaultdict(list)
    for order in orders:
        if order["status"] in (None, "cancelled"):  # NULL <> 'cancelled' is not true
            continue
        number, ordered_at, value = order["customer_id"], order["ordered_at"], order["amount"]
        assert isinstance(ordered_at, datetime)
        assert isinstance(value, Decimal | None)
        customer = customers.get(number) if isinstance(number, int) else None
        segment = (customer or {}).get("segment") or "unknown"
        groups[ordered_at.date(), segment].append(value)
    return [
        {"order_date": day, "segment": segment, "orders": len(values), "revenue": total(values)}
        for (day, segment), values in sorted(groups.items())
    ]


def total(values: list[Decimal | None]) -> Decimal | None:
    known = [value for value in values if value is not None]
    return sum(known, Decimal("0.00")) if known else None


# --- accounts ---------------------------------------------------------------------------------------------------------


def accounts(landing: Path, tables: Iterable[Bronze], silver: Silver) -> dict[str, Account]:
    """What became of each file's records, beside a count of them that does not parse them."""
    books: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    codes: dict[str, str] = {}
    for table in tables:
        for record in table.records:
            books[record.file]["bronze_accepted"] += 1
        for refused in table.quarantine:
            if refused.position is None:
                codes[refused.file] = refused.code
            else:
                books[refused.file]["bronze_quarantined"] += 1
    for record in silver.accepted:
        books[record.file]["silver_accepted"] += 1
    for rejected in silver.quarantine:
        books[rejected.record.file]["silver_quarantined"] += 1
    for record in silver.dropped:
        books[record.file]["silver_dropped"] += 1
    files = {path.relative_to(landing).as_posix(): path
             for folder in ("customers", "orders") for path in landing_files(landing, folder)}  # fmt: skip
    return {
        file: Account(
            records=0 if file in codes else count_records(path),
            code=codes.get(file),
            bronze_accepted=books[file]["bronze_accepted"],
            bronze_quarantined=books[file]["bronze_quarantined"],
            silver_accepted=books[file]["silver_accepted"],
            silver_quarantined=books[file]["silver_quarantined"],
            silver_dropped=books[file]["silver_dropped"],
        )
        for file, path in files.items()
    }


def count_records(path: Path) -> int:
    """Lines that are not blank, less the header of a CSV, once what stands in quotes is out of the way."""
    text = text_of(path)
    if path.name.removesuffix(".gz").endswith(".csv"):
        text = re.sub(r'"[^"]*"', "quoted", text)
        return sum(1 for line in re.split(r"\r\n|\n|\r", text) if line) - 1
    return sum(1 for line in text.split("\n") if line.strip())
