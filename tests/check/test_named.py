"""The named checks, each on values that it takes and on values that it does not."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.check.codes import COUNTRIES, CURRENCIES
from lakehouse.check.named import CHECKS
from lakehouse.spec.functions import AGGREGATES, NAMED, SCALARS

GOOD: dict[str, list[object]] = {
    "is_country": ["DE", "DEU", "GB", "US"],
    "is_currency": ["EUR", "JPY", "XAU", "HRK"],
    "is_email": ["a@b.de", "first.last+tag@sub.example.co", "o'neil@x-y.org"],
    "is_iban": ["GB82WEST12345698765432", "DE89370400440532013000", "MT84MALT011000012345MTLCAST001S"],
    "is_iso_date": ["2024-02-29", "1999-12-31"],
    "is_iso_timestamp": ["2026-02-28T13:05:00Z", "2026-02-28 13:05", "2026-02-28T13:05:00.123456789+02:00"],
    "is_phone": ["+4915112345678", "+12025550123"],
    "is_url": ["https://x.org", "http://a.b/c?d=e#f", "s3://bucket/key"],
    "is_uuid": ["123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000"],
    "not_blank": ["a", " a ", "0"],
}
BAD: dict[str, list[object]] = {
    "is_country": ["de", "XX", "UK", "D", "DE ", ""],
    "is_currency": ["eur", "EURO", "XYZ", "€", ""],
    "is_email": [
        "a",
        "a@b",
        "@b.de",
        "a@b.de\n",
        "a b@c.de",
        "a@b..de",
        "a.@b.de",
        "a@-b.de",
        "a@b.de, c@d.de",
        "a" * 65 + "@b.de",
    ],
    "is_iban": ["GB82WEST12345698765431", "DE89 3704 0044 0532 0130 00", "de89370400440532013000", "DE89", ""],
    "is_iso_date": ["2026-02-29", "2026-2-1", "2026-02-01T00:00", "20260201", "2026-02-01\n", ""],
    "is_iso_timestamp": ["2026-02-28T25:00:00Z", "2026-02-30 10:00", "2026-02-28", ""],
    "is_phone": ["004915112345678", "+0123456789", "+49 151 1234", "+1234567890123456"],
    "is_url": ["x.org", "https://", "javascript:alert(1)", "http://a b"],
    "is_uuid": ["123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g"],
    "not_blank": ["", "   ", "\t\n", "\u00a0\u2003\u200b"],
}


def test_each_check_tells_right_values_from_wrong_ones_and_says_nothing_of_null(spark: SparkSession) -> None:
    for name, good in GOOD.items():
        values = [*good, *BAD[name], None]
        frame = spark.createDataFrame([(value,) for value in values], "it string")
        found = [row[0] for row in frame.select(CHECKS[name](F.col("it"))).collect()]
        wrong = [
            (value, is_good)
            for value, is_good in zip(values, found, strict=True)
            if is_good is not (value in good if value is not None else None)
        ]
        assert not wrong, name


def test_checks_with_arguments(spark: SparkSession) -> None:
    frame = spark.createDataFrame(
        [("ab", 1.0, True), ("abc", float("nan"), False), (None, float("inf"), None)], "s string, d double, b boolean"
    )
    asked = {
        "length": CHECKS["length_between"](F.col("s"), 1, 2),
        "matches": CHECKS["matches"](F.col("s"), "a|ab"),
        "finite": CHECKS["is_finite"](F.col("d")),
        "implies": CHECKS["implies"](F.col("b"), F.col("s") == "x"),
    }
    found = frame.select(*[check.alias(name) for name, check in asked.items()]).collect()
    assert [tuple(row) for row in found] == [
        (True, True, True, False),
        (False, False, False, True),
        (None, None, False, True),
    ]


def test_the_codes_are_those_that_java_knows(spark: SparkSession) -> None:
    # another list of the same standards; it keeps currencies that were withdrawn long ago
    java = spark.sparkContext._jvm.java.util
    alpha3 = java.Locale.getISOCountries(java.Locale.IsoCountryCode.valueOf("PART1_ALPHA3")).toArray()
    assert {*java.Locale.getISOCountries(), *alpha3} == COUNTRIES
    known = {one.getCurrencyCode() for one in java.Currency.getAvailableCurrencies().toArray()}
    assert CURRENCIES - known <= {"XCG", "ZWG", "XAD", "UYW"}  # newer than this Java may be


def test_a_check_has_one_name_wherever_it_is_told() -> None:
    assert CHECKS.keys() == NAMED.keys()
    assert not NAMED.keys() & (SCALARS | AGGREGATES)


def test_a_rule_may_call_nothing_that_spark_does_not_have(spark: SparkSession) -> None:
    known = {row[0] for row in spark.sql("SHOW SYSTEM FUNCTIONS").collect()}
    syntax = {
        "cast",
        "extract",
        "position",
        "trim",
        "overlay",
        "substring",
        "try_cast",
        "timestampadd",
        "timestampdiff",
    }
    assert (SCALARS | AGGREGATES) - known - syntax == set()


@pytest.mark.parametrize("value", ["a" * 40 + "!", "a@" + "a." * 60 + "!", "x" * 300])
def test_no_value_keeps_a_check_busy(spark: SparkSession, value: str) -> None:
    frame = spark.range(200).select(F.lit(value).alias("it"))
    checks = [CHECKS[name](F.col("it")) for name in GOOD]
    assert frame.select(*[F.count_if(check) for check in checks]).collect()
