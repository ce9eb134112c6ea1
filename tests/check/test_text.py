"""A text is read as the contract says that it is written, exactly, or it is rejected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from lakehouse.check.cast import exact
from lakehouse.spec.column import Column

NO = "rejected"
Cases = Sequence[tuple[Column, str | None]]

WRITTEN: list[tuple[dict[str, Any], dict[str | None, Any]]] = [
    (
        {"type": "date", "formats": ["dd.MM.yyyy", "yyyy-MM-dd", "d/M/yyyy"]},
        {
            "01.02.2026": date(2026, 2, 1), "2026-02-01": date(2026, 2, 1), "1/2/2026": date(2026, 2, 1),
            "01/02/2026": date(2026, 2, 1), " 01.02.2026\t": date(2026, 2, 1), "29.02.2024": date(2024, 2, 29),
            "31.02.2026": NO, "29.02.2023": NO, "2026-1-5": NO, "1.2.2026": NO, "01.02.26": NO, "01.13.2026": NO,
            "00.01.2026": NO, "01.01.0000": NO, "01.02.20266": NO, "01.02.2026 00:00": NO, "": NO, "x": NO, None: None,
            "01,02,2026": NO, "٠١.02.2026": NO,
        },
    ),
    (
        {"type": "date", "formats": ["yyyyMMdd", "d MMM yyyy", "MMMM d, yyyy", "yyyy-MM-dd HH:mm:ss"]},
        {
            "20260201": date(2026, 2, 1), "5 JAN 2026": date(2026, 1, 5), "September 30, 2026": date(2026, 9, 30),
            "2026-02-01 00:00:00": date(2026, 2, 1), "2026-02-01 00:00:01": NO, "20261301": NO, "5 Sept 2026": NO,
            "31 jun 2026": NO, "2026021": NO,
        },
    ),
    (
        {"type": "date", "formats": "dd.MM.yy", "two_digit_years_from": 1970},
        {"01.02.69": date(2069, 2, 1), "01.02.70": date(1970, 2, 1), "29.02.00": date(2000, 2, 29), "29.02.99": NO, "29.02.96": date(1996, 2, 29)},
    ),
    (
        {"type": "timestamp", "formats": ["dd.MM.yyyy HH:mm", "MM/dd/yyyy h:mm a", "yyyyMMddHHmmssSSS", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSSXXX"]},
        {
            "01.02.2026 13:05": "2026-02-01 13:05:00", "02/01/2026 12:05 am": "2026-02-01 00:05:00",
            "02/01/2026 12:05 PM": "2026-02-01 12:05:00", "20260201130500123": "2026-02-01 13:05:00.123",
            "2026-02-01T13:05:00.1234560+02:30": "2026-02-01 10:35:00.123456", "2026-02-01T13:05:00.1Z": "2026-02-01 13:05:00.1",
            "2026-02-01T13:05:00.1234567Z": NO, "01.02.2026 24:00": NO, "02/01/2026 13:05 PM": NO, "02/01/2026 00:05 AM": NO,
            "01.02.2026": NO, "2026-02-01T13:05:00Z": NO, "2026-02-01T13:05:00.1+25:00": NO, "20260201130560123": NO,
            "0001-01-01T00:00:00.0+02:00": NO, "9999-12-31T23:00:00.0-02:00": NO,
        },
    ),
    (
        {"type": "timestamp", "formats": ["epoch_millis"]},
        {"0": "1970-01-01 00:00:00", "1700000000123": "2023-11-14 22:13:20.123", "-1": "1969-12-31 23:59:59.999", "1.5": "1970-01-01 00:00:00.0015",
         "1.50": "1970-01-01 00:00:00.0015", "1.0001": NO, "253402300799999": "9999-12-31 23:59:59.999", "253402300800000": NO, "1e3": NO, "9" * 30: NO, "": NO},
    ),
    (
        {"type": "timestamp", "formats": ["epoch_seconds", "yyyy-MM-dd HH:mm:ss"], "time_zone": "Europe/Berlin"},
        {"1700000000": "2023-11-14 22:13:20", "2023-11-14 22:13:20": "2023-11-14 21:13:20", "1700000000.1234567": NO},
    ),
    (
        {"type": "timestamp_ntz", "formats": ["dd.MM.yyyy HH:mm:ss"]},
        {"29.03.2026 02:30:00": datetime(2026, 3, 29, 2, 30), "29.02.2026 02:30:00": NO},
    ),
    (
        {"type": "timestamp", "time_zone": "Europe/Berlin"},
        {
            "2026-01-01": "2025-12-31 23:00:00", "2026-07-01T12:00:00": "2026-07-01 10:00:00", "2026-07-01T12:00:00Z": "2026-07-01 12:00:00",
            "2026-07-01 12:00:00-05:00": "2026-07-01 17:00:00", "2026-03-29T01:59:59": "2026-03-29 00:59:59", "2026-03-29T02:00:00": NO,
            "2026-03-29T03:00:00": "2026-03-29 01:00:00", "2026-10-25T02:30:00": NO, "2026-10-25T02:30:00+01:00": "2026-10-25 01:30:00", "x": NO,
        },
    ),
    ({"type": "timestamp", "time_zone": "Europe/Berlin", "ambiguous": "earlier"}, {"2026-10-25T02:30:00": "2026-10-25 00:30:00", "2026-03-29T02:30:00": NO}),
    ({"type": "timestamp", "time_zone": "Europe/Berlin", "ambiguous": "later"}, {"2026-10-25T02:30:00": "2026-10-25 01:30:00", "2026-10-25T01:30:00": "2026-10-24 23:30:00"}),
    ({"type": "timestamp", "time_zone": "+05:30"}, {"2026-01-01T05:30:00": "2026-01-01 00:00:00"}),
    (
        {"type": "decimal(8,2)", "decimal": ",", "thousands": "."},
        {
            "1.234,56": Decimal("1234.56"), "1234,56": Decimal("1234.56"), "-1.234": Decimal("-1234.00"), "0,5": Decimal("0.50"), ",5": Decimal("0.50"),
            "999.999,99": Decimal("999999.99"), "1.23,4": NO, "1.2345,6": NO, "12.34": NO, "1.234.56": NO, ".234": NO, "1,2,3": NO, "1.234,567": NO,
            "1.234.567,00": NO, "1,234.56": NO, "": NO, ",": NO, "1..234": NO, "NaN": NO, "1,5e2": Decimal("150.00"),
        },
    ),
    (
        {"type": "double", "thousands": "'", "not_finite": "reject"},
        {"1'234.5": 1234.5, "1'23": NO, "NaN": NO, "Infinity": NO, "-inf": NO, "1e400": NO, "1e3": 1000.0, None: None},
    ),
    ({"type": "double", "decimal": ","}, {"1,5": 1.5, "1.5": NO, "inf": float("inf"), "1,5e-1": 0.15}),
    ({"type": "bigint", "thousands": " "}, {"1 234": 1234, "12 34": NO, "1\u00a0234": NO, "9 223 372 036 854 775 807": 2**63 - 1, "9 223 372 036 854 775 808": NO}),
    (
        {"type": "int", "notation": "number", "null_values": ""},
        {
            "1": 1, "1.0": 1, "1.": 1, "1e0": 1, "1E+3": 1000, "12.5e1": 125, "-1200e-2": -12, ".5e1": 5, "0e99": 0, "0.0": 0, "+7.000": 7, "-0": 0, "0.001e3": 1,
            "2147483647.0": 2147483647, "2147483648.0": NO, "1.5": NO, "1e-1": NO, "1e10": NO, "1e9999": NO, "1e99999": NO, "e1": NO, ".": NO, ".e1": NO,
            "1e": NO, "1.0.0": NO, "NaN": NO, "x": NO, "": None, " ": None, "1e-9999": NO, "0" * 60 + "1": 1, "0." + "0" * 60 + "1e61": 1,
        },
    ),
    ({"type": "int", "thousands": "."}, {"1.234": 1234, "1.23": NO, "1.": NO, "1.234.567": 1234567, "1e3": NO, ".123": NO}),
    ({"type": "int", "notation": "number", "decimal": ",", "thousands": "."}, {"1.234,0": 1234, "1.234": 1234, "1,5": NO}),
    (
        {"type": "boolean", "true_values": ["yes", "J", "1"], "false_values": ["no", "n", "0"], "null_values": ["?", ""]},
        {"YES": True, " j ": True, "1": True, "No": False, "0": False, "true": NO, "false": NO, "2": NO, "?": None, "": None},
    ),
    ({"type": "string", "trim": True, "null_values": ["NULL", "n/a", ""]}, {" a b ": "a b", "\u00a0x\r\n": "x", " NULL ": None, "null": "null", "  ": None, "N/A": "N/A"}),
    ({"type": "string", "null_values": ["-"]}, {" - ": " - ", "-": None, "": ""}),
    ({"type": "int", "trim": False}, {" 1": NO, "1": 1}),
]  # fmt: skip


@pytest.fixture(scope="module")
def read(spark: SparkSession) -> Callable[[Cases], list[Any]]:
    """What becomes of each text by the column that it is of, in one job: the value, or ``NO``."""

    def all_of(cases: Cases) -> list[Any]:
        kinds = list(dict.fromkeys(column for column, _ in cases))
        rows = spark.createDataFrame(
            [(i, kinds.index(column), text) for i, (column, text) in enumerate(cases)], "i int, kind int, text string"
        )
        columns = []
        for number, column in enumerate(kinds):
            value, kept = exact(F.when(F.col("kind") == number, F.col("text")), StringType(), column, "v")
            columns += [
                (value.cast("string") if column.type == "timestamp" else value).alias(f"v{number}"),
                kept.alias(f"k{number}"),
            ]
        found = sorted(rows.select("i", "kind", *columns).collect(), key=lambda row: row.i)
        return [row[f"v{row.kind}"] if row[f"k{row.kind}"] else NO for row in found]

    return all_of


def differing(cases: Cases, found: list[Any], wanted: list[Any]) -> list[Any]:
    return [
        (column.model_dump(exclude_defaults=True), text, one, other)
        for (column, text), one, other in zip(cases, found, wanted, strict=True)
        if repr(one) != repr(other)
    ]


def test_a_text_is_read_as_its_column_says_or_rejected(read: Callable[[Cases], list[Any]]) -> None:
    cases = [(Column.model_validate(said), text, want) for said, texts in WRITTEN for text, want in texts.items()]
    asked = [(column, text) for column, text, _ in cases]
    assert differing(asked, read(asked), [want for _, _, want in cases]) == []


def test_what_is_said_of_text_leaves_typed_values_alone_but_where_it_means_something(spark: SparkSession) -> None:
    wall = "timestamp_ntz'2026-07-01 12:00:00' AS wall, timestamp_ntz'2026-03-29 02:30:00' AS never"
    row = spark.sql(f"SELECT double('NaN') AS d, 1700000000123L AS ms, date'2026-01-02' AS day, 5 AS n, {wall}")
    berlin = Column(type="timestamp", time_zone="Europe/Berlin")
    declared = {
        "d": Column(type="double", not_finite="reject"),
        "ms": Column(type="timestamp", formats=("epoch_millis",)),
        "day": Column(type="date", formats=("dd.MM.yyyy",), null_values=("2026-01-02",)),
        "n": Column(type="int", thousands=".", trim=False),
        "wall": berlin,
        "never": berlin,
    }
    asked = [exact(F.col(name), row.schema[name].dataType, column, name) for name, column in declared.items()]
    shown = [part.cast("string").alias(f"{i}{j}") for i, pair in enumerate(asked) for j, part in enumerate(pair)]
    (found,) = row.select(*shown).collect()
    assert list(zip(found[::2], found[1::2], strict=True)) == [
        (None, "false"),
        ("2023-11-14 22:13:20.123", "true"),
        ("2026-01-02", "true"),
        ("5", "true"),
        ("2026-07-01 10:00:00", "true"),
        (None, "false"),
    ]


FORMATS = {
    "dd.MM.yyyy": "%d.%m.%Y",
    "MM/dd/yyyy": "%m/%d/%Y",
    "yyyyMMdd": "%Y%m%d",
    "yyyy-MM-dd": "%Y-%m-%d",
    "dd-MMM-yyyy": "%d-%b-%Y",
}
DAYS = st.builds(
    "{1:{0}}{3}{2:{0}}{3}{4}".format,
    st.sampled_from(["02d", "d"]),
    st.integers(0, 32),
    st.integers(0, 13),
    st.sampled_from("./-"),
    st.integers(1000, 2999),
)
ANY_DAY = st.builds(
    lambda day, form: day.strftime(form),
    st.dates(date(1000, 1, 1), date(2999, 12, 31)),
    st.sampled_from(list(FORMATS.values())),
)
GROUPED = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "-", "+"]),
    st.from_regex(r"[0-9]{1,4}([.][0-9]{2,4}){0,4}", fullmatch=True),
    st.from_regex(r"(,[0-9]{0,3})?", fullmatch=True),
)
LIKE_INTEGERS = st.builds(
    "{}{}{}".format, st.from_regex(r"[+-]?[0-9]{0,12}", fullmatch=True), st.from_regex(r"(\.[0-9]{0,5}0{0,3})?", fullmatch=True),
    st.from_regex(r"([eE][+-]?[0-9]{1,2})?", fullmatch=True),
)  # fmt: skip


def by_strptime(text: str, forms: Sequence[str]) -> date | str:
    for form in forms:
        try:
            found = datetime.strptime(text, FORMATS[form])  # noqa: DTZ007
        except ValueError:
            continue
        if found.strftime(FORMATS[form]).lower() == text.lower():  # Python takes 1 for 01
            return found.date()
    return NO


def by_decimal(text: str) -> Decimal | str:
    """A number with '.' between groups and ',' before the fraction, as a decimal(9,2)."""
    whole, _, fraction = text.lstrip("+-").partition(",")
    if not whole.replace(".", "").isdigit() or (
        "." in whole and not all(len(part) == 3 for part in whole.split(".")[1:])
    ):
        return NO
    if "." in whole and len(whole.split(".")[0]) > 3:
        return NO
    number = Decimal(("-" if text[0] == "-" else "") + whole.replace(".", "") + "." + fraction + "0")
    return number.quantize(Decimal("0.01")) if abs(number) < 10**7 and number == round(number, 2) else NO


def as_integer(text: str) -> int | str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return NO
    return int(number) if number == number.to_integral_value() and -(2**63) <= number < 2**63 else NO


# nothing is made smaller: each try is a job
@settings(
    max_examples=3, phases=[Phase.generate], deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(
    st.lists(DAYS | ANY_DAY, min_size=40, max_size=50),
    st.permutations(list(FORMATS)),
    st.lists(GROUPED, min_size=40, max_size=50),
    st.lists(LIKE_INTEGERS, min_size=40, max_size=50),
)
def test_dates_and_numbers_are_what_python_makes_of_them(
    read: Callable[[Cases], list[Any]], days: list[str], forms: list[str], grouped: list[str], like_integers: list[str]
) -> None:
    kinds = (
        Column(type="date", formats=tuple(forms[:3])),
        Column(type="decimal(9,2)", decimal=",", thousands="."),
        Column(type="bigint", notation="number"),
    )
    cases = (
        [(kinds[0], text) for text in days]
        + [(kinds[1], text) for text in grouped]
        + [(kinds[2], text) for text in like_integers]
    )
    wanted = (
        [by_strptime(text, forms[:3]) for text in days]
        + [by_decimal(text) for text in grouped]
        + [as_integer(text) for text in like_integers]
    )
    assert differing(cases, read(cases), wanted) == []
    assert sum(want != NO for want in wanted) > 10


def around_changes(name: str, first: int, last: int) -> list[datetime]:
    """What a clock shows around each change of its offset, in steps of 20 minutes."""
    zone, found = ZoneInfo(name), []
    at, end = datetime(first, 1, 1, tzinfo=UTC), datetime(last, 1, 1, tzinfo=UTC)
    while at < end:
        if at.astimezone(zone).utcoffset() != (at + timedelta(hours=6)).astimezone(zone).utcoffset():
            wall = at.astimezone(zone).replace(tzinfo=None)
            found += [wall + timedelta(minutes=20 * step) for step in range(-9, 36)]
        at += timedelta(hours=6)
    return found


def moments(wall: datetime, name: str) -> list[str]:
    """The moments at which a clock in the zone shows that, earliest first."""
    zone = ZoneInfo(name)
    tried = {wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return [
        str(moment.replace(tzinfo=None))
        for moment in sorted(tried)
        if moment.astimezone(zone).replace(tzinfo=None) == wall
    ]


def test_a_time_in_a_zone_is_the_one_moment_at_which_a_clock_there_showed_it(
    read: Callable[[Cases], list[Any]],
) -> None:
    cases: list[tuple[Column, str | None]] = []
    wanted: list[Any] = []
    zones = {
        "Europe/Berlin": (2024, 2026),
        "America/New_York": (2005, 2008),
        "Australia/Lord_Howe": (2010, 2012),
        "Pacific/Apia": (2011, 2013),
        "Asia/Kathmandu": (1985, 1987),
    }
    for name, years in zones.items():
        for ambiguous, choose in (
            ("reject", lambda them: them[0] if len(them) == 1 else NO),
            ("earlier", lambda them: them[0]),
            ("later", lambda them: them[-1]),
        ):
            column = Column.model_validate({"type": "timestamp", "time_zone": name, "ambiguous": ambiguous})
            for wall in around_changes(name, *years):
                them = moments(wall, name)
                cases.append((column, wall.isoformat()))
                wanted.append(choose(them) if them else NO)
    assert differing(cases, read(cases), wanted) == []
    assert {len(moments(wall, "Europe/Berlin")) for wall in around_changes("Europe/Berlin", 2024, 2026)} == {0, 1, 2}
