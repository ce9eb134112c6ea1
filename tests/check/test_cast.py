"""A value becomes the wanted type exactly, or it does not become it at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from lakehouse.check import columns
from lakehouse.check.cast import exact
from lakehouse.check.contract import _with_received, check
from lakehouse.lake.batch import CODE, MESSAGE, RAW, Arrived, sourced
from lakehouse.lake.frame import small_frame
from lakehouse.spec.column import Column as Declared
from lakehouse.spec.contract import Contract

NO = "rejected"

TEXTS: dict[str, dict[str, Any]] = {
    "tinyint": {"127": 127, "-128": -128, "128": NO},
    "int": {
        "1": 1, " 1 ": 1, "+1": 1, "-0": 0, "007": 7, "2147483647": 2147483647, "-2147483648": -2147483648,
        "2147483648": NO, "1.0": NO, "1e3": NO, "": NO, "x": NO, "0x10": NO, "1_000": NO, "1,000": NO, "１": NO, "1L": NO,
        "--1": NO, "9" * 400: NO,
    },
    "bigint": {"9223372036854775807": 2**63 - 1, "9223372036854775808": NO, "-9223372036854775808": -(2**63)},
    "double": {
        "1.5": 1.5, " .5": 0.5, "5.": 5.0, "1e5": 100000.0, "-1E-5": -1e-5, "0e9": 0.0, "-0.0": 0.0, "0.1": 0.1,
        "Infinity": float("inf"), "-inf": float("-inf"), "1e400": NO, "-1e400": NO, "1e-400": NO, "1.5d": NO, "1f": NO,
        "0x1p3": NO, "1,5": NO, "": NO, "one": NO,
    },
    "float": {"0.5": 0.5, "16777217": 16777216.0, "3.4e39": NO, "1e-50": NO},
    "decimal(5,2)": {
        "1.5": Decimal("1.50"), "123.45": Decimal("123.45"), "-999.99": Decimal("-999.99"), "1.230": Decimal("1.23"),
        ".5": Decimal("0.50"), "5.": Decimal("5.00"), "0" * 50 + "1.5" + "0" * 50: Decimal("1.50"), "+1": Decimal("1.00"),
        "1e2": Decimal("100.00"), "1.5e-1": Decimal("0.15"), "12E-1": Decimal("1.20"), "1234.5": NO, "999.999": NO,
        "1.234": NO, "1e-3": NO, "1e-40": NO, "1e3": NO, "1e400": NO, "1e100000": NO, "NaN": NO, "Infinity": NO, "": NO,
        ".": NO, "1_0": NO, "1.5d": NO,
    },
    "decimal(38,0)": {"9" * 38: Decimal("9" * 38), "1" + "0" * 38: NO, "0.5": NO, "0.4": NO, "1.0": Decimal(1)},
    "decimal(38,10)": {"1" * 28 + "." + "1" * 10: Decimal("1" * 28 + "." + "1" * 10), "1." + "1" * 11: NO, "1" * 29: NO},
    "decimal(38,38)": {"0." + "1" * 38: Decimal("0." + "1" * 38), "0." + "1" * 39: NO, "1": NO},
    "boolean": {"true": True, " FALSE ": False, "1": True, "no": False, "maybe": NO, "": NO, "2": NO},
    "date": {
        "2024-02-29": date(2024, 2, 29), " 2024-01-01 ": date(2024, 1, 1), "9999-12-31": date(9999, 12, 31),
        "0001-01-01": date(1, 1, 1), "2023-02-29": NO, "2024-1-1": NO, "20240101": NO, "2024-01-01T00:00:00": NO,
        "01/02/2024": NO, "0000-00-00": NO, "10000-01-01": NO, "today": NO, "": NO,
    },
    "timestamp_ntz": {
        "2024-01-01": datetime(2024, 1, 1), "2024-01-01 10:00": datetime(2024, 1, 1, 10),
        "2024-01-01T10:00:00.123456": datetime(2024, 1, 1, 10, 0, 0, 123456), "2024-01-01T10:00:00Z": NO,
        "2024-01-01T10:00:00.1234567": NO, "2024-01-01T24:00:00": NO, "now": NO,
    },
    "timestamp": {
        "2024-01-01": "2024-01-01 00:00:00", "2024-01-01T10:00:00Z": "2024-01-01 10:00:00",
        "2024-01-01T10:00:00+02:00": "2024-01-01 08:00:00", "2024-01-01 10:00:00 UTC": "2024-01-01 10:00:00",
        "2024-01-01T10:00:00.123456000": "2024-01-01 10:00:00.123456", "2024-03-31T02:30:00": "2024-03-31 02:30:00",
        "2024-01-01T10:00:00.1234567": NO, "2024-01-01T23:59:60": NO, "2024-01-01T10": NO, "10:00": NO,
        "2024-01-01T10:00:00+25:00": NO, "2024-01-01T10:00:00 Europe/Paris": NO, "1704067200": NO, "now": NO, "": NO,
    },
    "string": {"": "", " a ": " a "},
    "binary": {"ab": bytearray(b"ab")},
}  # fmt: skip

TYPED = [
    ("2.5d", "int", NO),
    ("2.0d", "int", 2),
    ("double('NaN')", "int", NO),
    ("double('NaN')", "decimal(5,2)", NO),
    ("double('NaN')", "float", float("nan")),
    ("double('Infinity')", "bigint", NO),
    ("1e10d", "int", NO),
    ("3000000000L", "int", NO),
    ("300", "tinyint", NO),
    ("9007199254740992L", "double", 2.0**53),
    ("9007199254740993L", "double", NO),
    ("16777217", "float", NO),
    ("0.1d", "float", NO),
    ("0.5d", "float", 0.5),
    ("1.25bd", "decimal(5,1)", NO),
    ("cast(1.20 as decimal(5,2))", "decimal(5,1)", Decimal("1.2")),
    ("1000bd", "decimal(5,2)", NO),
    ("cast('99999999999999999999999' as decimal(38,0))", "double", NO),
    ("1.005d", "decimal(5,2)", NO),
    ("1.25d", "decimal(5,2)", Decimal("1.25")),
    ("timestamp'2024-01-01 10:00:00'", "date", NO),
    ("timestamp'2024-01-01'", "date", date(2024, 1, 1)),
    ("timestamp'2024-01-01 10:00:00.5'", "bigint", NO),
    ("date'2024-01-01'", "timestamp_ntz", datetime(2024, 1, 1)),
    ("2", "boolean", NO),
    ("1", "boolean", True),
    ("true", "int", 1),
    ("1.5d", "string", "1.5"),
    ("X'61'", "string", "a"),
    ("X'ff'", "string", NO),
    ("timestamp'2024-01-01 10:00:00'", "bigint", NO),
    ("1704110400000L", "timestamp", NO),
    ("0", "timestamp", NO),
    ("-1L", "timestamp", NO),
    ("1.5d", "timestamp", NO),
    ("1bd", "timestamp", NO),
    ("true", "timestamp", NO),
    ("1", "date", NO),
    ("date'2024-01-01'", "int", NO),
    ("timestamp_micros(253402300800000000)", "timestamp", NO),
    ("timestamp_micros(-62135596800000001)", "timestamp", NO),
    ("date_add(date'9999-12-31', 1)", "date", NO),
    ("date_add(date'0001-01-01', -1)", "timestamp", NO),
    ("cast('+55971-01-01T00:00:00' as timestamp_ntz)", "timestamp_ntz", NO),
    ("timestamp_ntz'9999-12-31 23:59:59.999999'", "timestamp_ntz", datetime(9999, 12, 31, 23, 59, 59, 999999)),
    ("date'0001-01-01'", "date", date(1, 1, 1)),
    ("named_struct('b', 1, 'a', 2)", "struct<a:bigint,b:bigint>", Row(a=2, b=1)),
    ("named_struct('b', 1, 'a', 2)", "struct<b:int>", NO),
    ("named_struct('b', 1, 'a', cast(null as int))", "struct<b:int>", Row(b=1)),
    ("named_struct('b', 1)", "struct<b:int,c:string>", Row(b=1, c=None)),
    ("named_struct('b', 'x')", "struct<b:int>", NO),
    ("named_struct('b', '7')", "struct<b:int>", Row(b=7)),
    ("named_struct('b', '07')", "struct<b:int>", NO),
    ("named_struct('b', 1)", "int", NO),
    ("array(1, 2)", "array<bigint>", [1, 2]),
    ("array(1, 3000000000L)", "array<int>", NO),
    ("array(1L, null)", "array<int>", [1, None]),
    ("map('a', 1)", "map<string,bigint>", {"a": 1}),
    ("map('a', 3000000000L)", "map<string,int>", NO),
    ("map('a', 1)", "map<int,int>", NO),
    ("named_struct('b', array(1))", "string", '{"b":[1]}'),
    ("void", "int", None),
    ("cast(null as double)", "int", None),
]


@pytest.fixture(scope="module")
def cast(spark: SparkSession) -> Callable[[Sequence[tuple[str, str]]], list[Any]]:
    """What becomes of each (text, type), in one job: the value, or ``NO``."""

    def all_of(cases: Sequence[tuple[str, str]]) -> list[Any]:
        rows = spark.createDataFrame([(i, *case) for i, case in enumerate(cases)], "i int, text string, kind string")
        columns = []
        for kind in sorted({kind for _, kind in cases}):
            value, kept = exact(F.when(F.col("kind") == kind, F.col("text")), StringType(), Declared(type=kind), kind)
            shown = value.cast("string") if kind == "timestamp" else value
            columns += [shown.alias(kind), kept.alias(f"kept {kind}")]
        found = rows.select("i", "kind", *columns).collect()
        return [row[row.kind] if row[f"kept {row.kind}"] else NO for row in sorted(found, key=lambda row: row.i)]

    return all_of


def test_a_text_becomes_exactly_what_it_says_or_is_rejected(cast: Callable[..., list[Any]]) -> None:
    cases = {(text, kind): want for kind, texts in TEXTS.items() for text, want in texts.items()}
    found = dict(zip(cases, cast(list(cases)), strict=True))
    assert found == cases


def test_a_null_stays_null_in_every_type(spark: SparkSession) -> None:
    nothing = spark.createDataFrame([(None,)], "v string")
    columns = []
    for kind in TEXTS:
        value, kept = exact(F.col("v"), StringType(), Declared(type=kind), "v")
        columns.append(value.isNull() & kept)
    assert set(nothing.select(*columns).collect()[0]) == {True}


def test_a_typed_value_must_come_back_unchanged(spark: SparkSession) -> None:
    names = [f"c{i}" for i in range(len(TYPED))]
    sql = ", ".join(f"{'null' if e == 'void' else e} AS {name}" for (e, _, _), name in zip(TYPED, names, strict=True))
    row = spark.sql(f"SELECT {sql}")
    columns = []
    for name, (_, kind, _) in zip(names, TYPED, strict=True):
        columns += exact(F.col(name), row.schema[name].dataType, Declared(type=kind), name)
    values = row.select(*columns).collect()[0]
    found = [values[2 * i] if values[2 * i + 1] else NO for i in range(len(TYPED))]
    assert [repr(value) for value in found] == [repr(want) for _, _, want in TYPED]


def as_decimal(text: str, precision: int, scale: int) -> Decimal | str:
    """What Python makes of the text, if it has no more digits than the type."""
    with localcontext(prec=400, Emax=10**6, Emin=-(10**6)):
        try:
            number = Decimal(text)
        except InvalidOperation:
            return NO
        fits = number.is_finite() and abs(number) < Decimal(10) ** (precision - scale)
        if not fits or number != (rounded := number.quantize(Decimal(1).scaleb(-scale))):
            return NO
        return rounded


DIGITS = st.text("0123456789", max_size=42)
NUMBERS = st.builds(
    "{}{}{}{}".format, st.sampled_from(["", "-", "+"]), DIGITS, st.sampled_from([".", "", ".0"]), DIGITS
)
SHORT = st.builds("{}e{}".format, st.decimals(-9999, 9999, places=3), st.integers(-45, 45))
MOMENTS = st.builds(
    "{:04d}-{:02d}-{:02d}{}{:02d}:{:02d}:{:02d}{}".format,
    st.integers(1, 9999), st.integers(0, 13), st.integers(0, 32), st.sampled_from("T "), st.integers(0, 25),
    st.integers(0, 60), st.integers(0, 60), st.from_regex(r"(\.[0-9]{1,6})?", fullmatch=True),
)  # fmt: skip


@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(NUMBERS | SHORT, min_size=60, max_size=100),
    st.lists(st.sampled_from([(5, 2), (38, 0), (38, 38), (20, 7), (1, 0), (1, 1)]), min_size=100, max_size=100),
    st.lists(MOMENTS, min_size=20, max_size=40),
    st.lists(st.dates().map(str) | MOMENTS.map(lambda text: text[:10]), min_size=20, max_size=40),
)
def test_decimals_integers_and_dates_are_what_python_makes_of_them(
    cast: Callable[..., list[Any]],
    numbers: list[str],
    sizes: list[tuple[int, int]],
    moments: list[str],
    dates: list[str],
) -> None:
    cases: list[tuple[str, str]] = []
    wanted: list[Any] = []
    for text, (precision, scale) in zip(numbers, sizes, strict=False):
        cases += [(text, f"decimal({precision},{scale})"), (text, "bigint")]
        wanted.append(as_decimal(text, precision, scale))
        whole = text.lstrip("+-").isdigit() and -(2**63) <= int(text) < 2**63
        wanted.append(int(text) if whole else NO)
    for kind, make, texts in (("timestamp_ntz", datetime, moments), ("date", date, dates)):
        for text in texts:
            cases.append((text, kind))
            try:
                wanted.append(make.fromisoformat(text))
            except ValueError:
                wanted.append(NO)
    found = cast(cases)
    assert list(zip(cases, found, strict=True)) == list(zip(cases, wanted, strict=True))


def test_columns_that_are_cast_together_become_what_each_becomes_alone(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["1", " 2 ", "x", None, "1.5", "2024-02-29", "1.000", "", "-"]
    declared: dict[str, Any] = {"a": "int", "b": "int", "c": "date", "d": {"type": "decimal(5,2)", "nullable": False}}
    declared |= {"e.f": "int", "`": "string", "h": {"type": "int", "thousands": "."}, "i": "int", "none": "int"}
    declared |= {"j": {"type": "int", "null_values": ["-"]}, "k": {"type": "date", "formats": ["yyyy-MM-dd"]}}
    names = [name for name in declared if name != "none"]
    kinds = {**dict.fromkeys(names, "string"), "i": "bigint", RAW: "string", CODE: "string", MESSAGE: "string"}
    rows = [
        {**{name: texts[(row + at) % len(texts)] for at, name in enumerate(names)}, "i": row << 29} for row in range(9)
    ]
    frame = sourced(small_frame(spark, [[row.get(name) for name in kinds] for row in rows], kinds))
    found = []
    for many in (200, 0):
        monkeypatch.setattr(columns, "_MANY", many)
        checked = check(Arrived(frame), Contract.model_validate({"columns": declared}))
        found.append([checked.accepted.schema, *sorted(map(repr, checked.rejected.collect()))])
        typed, _ = columns.with_types(_with_received(frame), Contract.model_validate({"columns": declared}), "null")
        found[-1] += sorted(map(repr, typed.collect()))
    assert found[0] == found[1]
    assert len(found[0]) > 9
