"""A range of keys is as wide as the statistics of other writers are inexact."""

from __future__ import annotations

import random
from decimal import Context, Decimal

import pytest
from pyspark.sql.types import DecimalType, IntegerType, StringType

from lakehouse.write.bounds import has_range, widen

EXACT = Context(prec=80)


@pytest.mark.parametrize("kind", [DecimalType(38, 18), DecimalType(38, 0), DecimalType(38, 38), DecimalType(19, 2)])
def test_the_range_of_decimals_meets_statistics_that_are_floats_or_cut_to_64_bits(kind: DecimalType) -> None:
    random.seed(1)
    most = 10**kind.precision - 1
    drawn = [random.choice((1, -1)) * random.randrange(10 ** random.randint(1, kind.precision)) for _ in range(2000)]
    for number in (most, -most, 1 - most, 0, *drawn):
        key = Decimal(number).scaleb(-kind.scale, EXACT)
        low, high = map(Decimal, widen(str(key), str(key), kind))
        cut = Decimal(min(max(int(key), -(2**63)), 2**63 - 1))
        told = [key, Decimal(float(key)), *([cut] if kind.scale == 0 else [])]
        # one beyond the type is no statistic to Spark
        for one in (one for one in told if EXACT.abs(one) < 10 ** (kind.precision - kind.scale)):
            assert low <= one, (key, low)
            assert high >= one, (key, high)
        for bound in (low, high):
            _, digits, exponent = bound.as_tuple()
            assert (exponent, len(digits) <= kind.precision) == (-kind.scale, True), bound


@pytest.mark.parametrize("text", ["a" * 100, "é" * 100, "\U0001f600" * 40, "ab", ""])
def test_the_range_of_texts_meets_a_greatest_value_that_was_cut(text: str) -> None:
    low, high = widen(text, text, StringType())
    assert high == text
    for size in range(32, 101):
        assert text.encode()[:size] >= low.encode()


def test_what_has_exact_statistics_keeps_its_range() -> None:
    assert widen("1", "2", IntegerType()) == ("1", "2")
    assert widen("1.00", "2.00", DecimalType(15, 2)) == ("1.00", "2.00")
    assert not has_range(StringType("UTF8_LCASE"))
    assert has_range(StringType())
