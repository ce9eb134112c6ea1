"""The landing zone is what it says, and the oracle is right where a person can check it by eye."""

from __future__ import annotations

import gzip
import importlib.util
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner


def load(path: Path) -> ModuleType:
    """A module by its file: the oracle and the script are no packages."""
    if path.stem in sys.modules:
        return sys.modules[path.stem]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HERE = Path(__file__).resolve().parent
oracle = load(HERE / "oracle.py")
landing = load(HERE.parents[1] / "scripts" / "landing.py")

HEADER = "order_id,customer_id,status,amount,currency,ordered_at,updated_at"


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landing zone after 3 days."""
    directory = tmp_path_factory.mktemp("three_days")
    landing.write(directory, 3)
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def put(directory: Path, files: dict[str, str | bytes]) -> Path:
    """A landing zone of a few files written by hand."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return directory


# --- the landing zone -------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(three_days: Path, tmp_path: Path) -> None:
    landing.write(tmp_path, 3)
    assert contents(tmp_path) == contents(three_days)


def test_another_seed_gives_other_bytes_under_the_same_names(three_days: Path, tmp_path: Path) -> None:
    landing.write(tmp_path, 3, landing.Settings(seed=8))
    one, other = contents(three_days), contents(tmp_path)
    assert one.keys() == other.keys()
    assert one["orders/orders_2026-03-01.csv"] != other["orders/orders_2026-03-01.csv"]


def test_more_days_add_files_and_touch_none(tmp_path: Path) -> None:
    landing.write(tmp_path, 2)
    before = contents(tmp_path)
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in before}
    written = landing.write(tmp_path, 4)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == times
    assert set(written) == after.keys() - before.keys()
    assert landing.write(tmp_path, 4) == []


def test_a_day_needs_no_other_day(three_days: Path) -> None:
    alone = landing.files_of_day(landing.Settings(), 3)
    assert alone.items() <= contents(three_days).items()


def test_the_command_writes_what_the_functions_give(tmp_path: Path) -> None:
    options = ["--days", "1", "--start", "2024-02-29", "--seed", "3", "--orders-per-day", "5"]
    result = CliRunner().invoke(landing.main, [str(tmp_path), *options])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("3 files written")
    assert contents(tmp_path) == landing.files_of_day(landing.Settings(date(2024, 2, 29), 3, 5), 1)


SILVER_DIRT: dict[str, tuple[tuple[str, ...], Callable[[dict[str, str | None]], bool]]] = {
    "bad_update_date": (("CAST",), lambda values: "02-30" in (values["updated_at"] or "")),
    "bad_order_date": (("CAST",), lambda values: "02-30" in (values["ordered_at"] or "")),
    "amount_comma": (("CAST",), lambda values: values["amount"] == "12,50"),
    "amount_word": (("CAST",), lambda values: values["amount"] == "abc"),
    "amount_too_big": (("CAST",), lambda values: values["amount"] == "12345678901.00"),
    "amount_nan": (("CAST",), lambda values: values["amount"] == "NaN"),
    "amount_negative": (("RULE:amount_not_negative",), lambda values: values["amount"] == "-5.00"),
    "amount_three_decimals": (("CAST",), lambda values: values["amount"] == "12.345"),
    "no_order_id": (("NULL_VALUE",), lambda values: values["order_id"] is None and values["updated_at"] is not None),
    "huge_order_id": (("CAST",), lambda values: values["order_id"] == "9223372036854775808"),
    "several_faults": (("CAST", "NULL_VALUE"), lambda values: values["order_id"] is None and values["amount"] == "abc"),
    "negative_and_unknown": (("RULE:amount_not_negative",), lambda values: values["status"] == "???"),
    "nothing_at_all": (("NULL_VALUE",), lambda values: not any(values.values())),
}


@pytest.mark.parametrize("ending", [".csv", ".json"])
@pytest.mark.parametrize("seed", [7, 8])
def test_every_kind_of_dirt_is_there_within_three_days(seed: int, ending: str, tmp_path: Path) -> None:
    landing.write(tmp_path, 3, landing.Settings(seed=seed, orders_per_day=50))
    found = oracle.expect(tmp_path)
    rejected = [entry for entry in found.silver_orders.quarantine if ending in entry.record.file]
    for kind, (codes, fits) in SILVER_DIRT.items():
        assert any(entry.codes == codes and fits(entry.record.values) for entry in rejected), kind
    assert any(record.values["status"] == "???" for record in found.silver_orders.dropped if ending in record.file)

    refused = [entry for entry in found.bronze_orders.quarantine if ending in entry.file and entry.position]
    if ending == ".csv":
        widths = {entry.received.count(",") - HEADER.count(",") for entry in refused}
        assert {entry.code for entry in refused} == {"FIELD_COUNT"}
        assert min(widths) < 0 < max(widths)
    else:
        lines = {entry.received for entry in refused if entry.code == "MALFORMED_JSON"}
        assert {"[1,2]", '"x"'} < lines
        assert any(line.startswith("{") and not line.endswith("}") for line in lines)
        assert any(entry.code == "DUPLICATE_JSON_KEY" for entry in refused)
    texts = [oracle.text_of(path) for path in (tmp_path / "orders").glob(f"*2026-03-0[1-3]{ending}*")]
    assert any("\n\n" in text for text in texts)


def test_files_that_cannot_be_read_are_named(three_days: Path) -> None:
    found = oracle.expect(three_days)
    codes = {entry.file: entry.code
             for table in (found.bronze_orders, found.bronze_customers)
             for entry in table.quarantine if entry.position is None}  # fmt: skip
    assert codes == {
        "customers/customers_2026-03-03_fr.csv": "FILE_ENCODING",
        "orders/export_2026-03-03.parquet": "FILE_UNREADABLE",
        "orders/notes_2026-03-01.txt": "FILE_FORMAT",
        "orders/orders_2026-03-02_b.csv.gz": "FILE_UNREADABLE",
        "orders/orders_2026-03-03_b.csv": "FILE_EMPTY",
    }
    taken = {record.file for table in (found.bronze_orders, found.bronze_customers) for record in table.records}
    assert not taken & codes.keys()


def test_headers_drift(three_days: Path) -> None:
    def header(name: str) -> str:
        return str(oracle.text_of(three_days / name).split("\n")[0].rstrip("\r"))

    assert header("orders/orders_2026-03-01.csv") == HEADER
    assert header("orders/orders_2026-03-02.csv.gz").endswith(",updated_at,order_id,customer_id,status")
    assert header("orders/orders_2026-03-03.csv") == f"{HEADER},coupon"
    assert (three_days / "customers/customers_2026-03-02.csv").read_bytes().startswith(b"\xef\xbb\xbfcustomer_id,")
    assert header("customers/customers_2026-03-03.csv.gz").startswith("updated_at,loyalty_tier,customer_id,")
    assert "segment" not in header("customers/customers_2026-03-03_crm.csv")


def test_updates_come_late_twice_and_for_customers_that_nobody_knows(three_days: Path) -> None:
    found = oracle.expect(three_days)
    first_seen: dict[int, list[tuple[str, datetime]]] = defaultdict(list)
    for record in found.silver_orders.accepted:
        if "updates" in record.file and "again" not in record.file:
            values = record.values
            first_seen[int(values["order_id"])].append((record.file, oracle.timestamp(values["updated_at"])))
    pairs = ((one, other) for seen in first_seen.values() for one in seen for other in seen)
    assert any(one[0] < other[0] and one[1] > other[1] for one, other in pairs)

    repeats = Counter((record.file, *record.values.values()) for record in found.silver_orders.accepted)
    repeated = {file.split("_")[0] for (file, *_), times in repeats.items() if times > 1}
    assert repeated == {"orders/orders", "orders/updates"}
    for name in ("orders_2026-03-01.csv", "updates_2026-03-02.json"):
        path = three_days / "orders" / name
        assert path.with_stem(f"{path.stem}_again").read_bytes() == path.read_bytes()

    same_day = Counter((file, at.date(), key) for key, seen in first_seen.items() for file, at in set(seen))
    assert max(same_day.values()) > 1

    known = oracle.latest_customers(found.bronze_customers)
    assert any(row["customer_id"] not in known for row in found.silver_orders.rows.values())


def test_a_late_file_of_day_2_comes_with_day_4(tmp_path: Path) -> None:
    name = "orders/orders_2026-03-02_late.csv"
    assert name not in landing.write(tmp_path, 3)
    before = oracle.expect(tmp_path).silver_orders.rows
    assert name in landing.write(tmp_path, 4)
    records = oracle.expect(tmp_path).bronze_orders.records
    late = {int(record.values["order_id"]) for record in records if record.file == name}
    assert late & before.keys(), "no update came before its order"
    assert late - before.keys(), "no order is new"


def test_no_update_comes_after_the_days_that_are_looked_back() -> None:
    settings = landing.Settings()
    lives = [event for index in range(1, 3_000) for event in landing.life(settings, 5, index)]
    assert max(day for event in lives for day in event.days) <= 5 + landing.LOOKBACK_DAYS


# --- the oracle -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "days", "orders"), [(7, 3, 400), (1, 9, 40), (2, 16, 1)])
def test_every_record_of_every_file_is_accounted_for(seed: int, days: int, orders: int, tmp_path: Path) -> None:
    landing.write(tmp_path, days, landing.Settings(seed=seed, orders_per_day=orders))
    accounts = oracle.expect(tmp_path).accounts
    assert accounts.keys() == contents(tmp_path).keys()
    for file, account in accounts.items():
        assert account.records == account.bronze_accepted + account.bronze_quarantined, file
        if file.startswith("orders/"):
            silver = account.silver_accepted + account.silver_quarantined + account.silver_dropped
            assert account.bronze_accepted == silver, file


def test_csv_is_read_by_rfc_4180(tmp_path: Path) -> None:
    text = (
        "\ufeffcustomer_id,name,email\r\n"
        '1,"a ""b"", c","x\\"\r\n'
        "\r\n"
        '2,"two\n\nlines",""\r\n'
        "3,too few\r\n"
        "4, padded ,\r\n"
        "5,one,too,many"
    )
    found = oracle.bronze(put(tmp_path, {"customers/a.csv": text}), "customers")
    assert [(record.position, *record.values.values()) for record in found.records] == [
        (1, "1", 'a "b", c', "x\\"),
        (2, "2", "two\n\nlines", None),
        (4, "4", " padded ", None),
    ]
    assert [(entry.position, entry.code, entry.received) for entry in found.quarantine] == [
        (3, "FIELD_COUNT", "3,too few"),
        (5, "FIELD_COUNT", "5,one,too,many"),
    ]
    assert oracle.count_records(tmp_path / "customers/a.csv") == 5


def test_json_values_are_their_source_text(tmp_path: Path) -> None:
    lines = ('{"a": 12.50, "b": "12.50", "c": true, "d": null, "e": ""}', "", '{"a": 1', "[1,2]", '{"a": NaN}',
             '{"a": 1, "a": 1}', '{"b": "\\u00e9"}')  # fmt: skip
    found = oracle.bronze(put(tmp_path, {"orders/a.json.gz": gzip.compress("\n".join(lines).encode())}), "orders")
    assert [(record.position, *record.values.values()) for record in found.records] == [
        (1, "12.50", "12.50", "true", None, ""),
        (6, None, "é", None, None, None),
    ]
    assert [(entry.position, entry.code) for entry in found.quarantine] == [
        (2, "MALFORMED_JSON"),
        (3, "MALFORMED_JSON"),
        (4, "MALFORMED_JSON"),
        (5, "DUPLICATE_JSON_KEY"),
    ]
    assert oracle.count_records(tmp_path / "orders/a.json.gz") == 6


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12.5", "12.50"), ("12.500", "12.50"), ("9999999999.99", "9999999999.99"), ("-0.01", "-0.01"),
        ("10000000000", None), ("9" * 40, None), ("12.345", None), ("12,50", None), ("NaN", None), ("abc", None),
        ("", None),
    ],
)  # fmt: skip
def test_an_amount_is_cast_exactly_or_not_at_all(text: str, value: str | None) -> None:
    if value is None:
        with pytest.raises(ValueError, match=f"^{text}$"):
            oracle.amount(text)
    else:
        assert str(oracle.amount(text)) == value


def test_the_highest_updated_at_wins_and_refused_records_change_nothing(tmp_path: Path) -> None:
    tail = "EUR,2026-03-01 23:59:59"
    orders = "\n".join((
        HEADER,
        f"1,7, PAID ,10.00,{tail},2026-03-02T10:00:00Z",
        f"1,7,open,9.00,{tail},2026-03-01 23:59:59",
        f"1,7,???,8.00,{tail},2026-03-03 00:00:00",
        f"1,7,???,-8.00,{tail},2026-03-03 00:00:01",
        f"1,7,shipped,abc,{tail},2026-02-30 00:00:00",
        f",7,open,-1,{tail},",
        f"1,7,paid,10,{tail},2026-03-02 10:00:00",
        f"2,99,open,,{tail},2026-03-02 10:00:00",
        f"3,7,cancelled,5,{tail},2026-03-02 10:00:00",
    ))  # fmt: skip
    customers = "\n".join((
        "customer_id,segment,updated_at",
        "7,vip,2026-03-01T00:00:00Z",
        "7,retail,2026-03-02 00:00:00",
        "7,,2026-02-01 00:00:00",
    ))  # fmt: skip
    found = oracle.expect(put(tmp_path, {"orders/a.csv": orders, "customers/a.csv": customers}))
    silver = found.silver_orders
    assert silver.rows[1] == {
        "order_id": 1,
        "customer_id": 7,
        "status": "paid",
        "amount": Decimal("10.00"),
        "currency": "EUR",
        "ordered_at": datetime.fromisoformat("2026-03-01T23:59:59"),
        "updated_at": datetime.fromisoformat("2026-03-02T10:00:00"),
    }
    assert sorted(silver.rows) == [1, 2, 3]
    assert [record.position for record in silver.dropped] == [3]
    assert [(entry.record.position, entry.reasons) for entry in silver.quarantine] == [
        (4, (("RULE:amount_not_negative", "amount"),)),
        (5, (("CAST", "amount"), ("CAST", "updated_at"))),
        (6, (("NULL_VALUE", "order_id"), ("NULL_VALUE", "updated_at"), ("RULE:amount_not_negative", "amount"))),
    ]
    day = date(2026, 3, 1)
    assert found.gold_daily_sales == [
        {"order_date": day, "segment": "retail", "orders": 1, "revenue": Decimal("10.00")},
        {"order_date": day, "segment": "unknown", "orders": 1, "revenue": None},
    ]


def test_two_states_of_an_order_at_one_time_have_no_answer(tmp_path: Path) -> None:
    orders = f"{HEADER}\n1,,open,1,,,2026-03-01 00:00:00\n1,,paid,1,,,2026-03-01 00:00:00\n"
    with pytest.raises(ValueError, match="two states"):
        oracle.expect(put(tmp_path, {"orders/a.csv": orders}))
