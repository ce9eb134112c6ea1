"""Texts as a contract says that they are written: brought into the one form that a cast reads, or not at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, DateType, IntegralType, StringType

from lakehouse.lake.statements import expression
from lakehouse.spec.time_pattern import EPOCHS, time_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column
    from pyspark.sql.types import DataType

    from lakehouse.spec.column import Column as Declared

_BLANKS = " \t\r\n\u00a0"
_HAS_OFFSET = r"[T ].*(Z|UTC|[+-]\d{2}:?\d{2})$"
_NOT_FINITE = "(?i:nan|[+-]?inf(?:inity)?)"
_NUMBER = r"^([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d{1,4}))?$"
_DAY = "interval 24 hours"


def told(value: Column, want: DataType, declared: Declared) -> Column:
    """The text without the blanks that mean nothing, and NULL where it is a marker of that."""
    trims = not isinstance(want, StringType | BinaryType) if declared.trim is None else declared.trim
    text = F.btrim(value, F.lit(_BLANKS)) if trims else value
    return F.when(~text.isin(*declared.null_values), text) if declared.null_values else text


def truth(text: Column, declared: Declared) -> Column:
    """True or false by the words for it; NULL where it is neither."""
    words = F.lower(text)
    is_true, is_false = (
        [word.lower() for word in said or ()] for said in (declared.true_values, declared.false_values)
    )
    return F.when(words.isin(is_true), F.lit(True)).when(words.isin(is_false), F.lit(False))


def number(text: Column, want: DataType, declared: Declared) -> Column:
    """The text of a number as Spark writes it; NULL where its separators do not stand where they must."""
    between = declared.thousands
    is_plain_integer = isinstance(want, IntegralType) and declared.notation == "integer"
    if declared.decimal != "." or between:
        groups = rf"(?:\d{{1,3}}(?:{re.escape(between)}\d{{3}})+|\d*)" if between else r"\d*"
        rest = "" if is_plain_integer else rf"(?:{re.escape(declared.decimal)}\d*)?(?:[eE][+-]?\d+)?"
        shape = rf"^(?:[+-]?{groups}{rest}|{_NOT_FINITE})$"
        plain = F.replace(text, F.lit(between), F.lit("")) if between else text
        plain = F.replace(plain, F.lit(declared.decimal), F.lit(".")) if declared.decimal != "." else plain
        text = F.when(text.rlike(shape), plain)
    return _whole(text) if isinstance(want, IntegralType) and not is_plain_integer else text


def _whole(text: Column) -> Column:
    """An integer that is written as any number may be, digit by digit; NULL where it has a fraction."""
    sign, whole, fraction, exponent = (F.regexp_extract(text, _NUMBER, group) for group in (1, 2, 3, 4))
    point = F.length(whole) + F.coalesce(exponent.try_cast("int"), F.lit(0))
    parts = F.struct(sign.alias("sign"), F.concat(whole, fraction).alias("digits"), point.alias("point"))

    def written(part: Column) -> Column:
        digits = part["digits"]
        # more zeros than any integer has are as good as all of them
        length = F.greatest(F.lit(0), F.least(part["point"], F.length(digits) + 50))
        before = F.rpad(digits, length, "0")
        is_whole = digits.substr(length + 1, F.length(digits)).rlike("^0*$")
        return F.when(is_whole, F.concat(part["sign"], F.when(length == 0, "0").otherwise(before)))

    is_number = text.rlike(_NUMBER) & text.rlike(r"^[^eE]*\d")
    return F.when(text.rlike(r"^[+-]?\d+$"), text).when(is_number, _once(parts, written))


def _once(value: Column, made: Callable[[Column], Column]) -> Column:
    """What is made of a value, which is computed once however often it is used there."""
    return F.element_at(F.transform(F.array(value), made), 1)


def moment(text: Column, want: DataType, declared: Declared) -> Column:
    """The date or time that the first format which reads the text makes of it; NULL where none does."""

    def as_wanted(found: Column) -> Column:
        # what Spark can hold and nobody else can read: an offset may lead there, or a number that is no time
        is_time = F.year(found).between(1, 9999)
        if isinstance(want, DateType):
            return F.when(is_time & (F.date_trunc("day", found) == found), found.cast("date"))
        return F.when(is_time, found.cast(want.simpleString()))

    def read(text: Column) -> Column:
        return _once(F.coalesce(*[_by_format(text, form, declared) for form in declared.formats]), as_wanted)

    return _once(text, read)


def _by_format(text: Column, form: str, declared: Declared) -> Column:
    if form in EPOCHS:
        return _since_1970(text, EPOCHS[form])
    pattern = time_pattern(form)
    readable = F.regexp_replace(text, pattern.split, "$1.$2") if pattern.split else text
    read = F.try_to_timestamp(F.when(text.rlike(pattern.shape), readable), F.lit(pattern.spark))
    if pattern.short_year:
        # Spark takes yy for a year from 2000 on; no 29th of February is lost, since 1900 is never meant
        beyond = F.year(read) >= (declared.two_digit_years_from or 2000) + 100
        read = F.when(beyond, read - expression("interval 100 years")).otherwise(read)
    return read if pattern.has_offset else in_zone(read, declared)


def _since_1970(text: Column, digits: int) -> Column:
    """A number of seconds, milliseconds or microseconds as the time that it stands for."""
    shape = rf"^[+-]?\d{{1,{18 - digits}}}(?:\.\d{{0,{digits}}}0*)?$"
    number = F.when(text.rlike(shape), text).try_cast(f"decimal(24,{digits})")
    return F.timestamp_micros((number * 10**digits).cast("bigint"))


def has_offset(text: Column) -> Column:
    """Whether a time in ISO 8601 says how far it is from UTC."""
    return text.rlike(_HAS_OFFSET)


def in_zone(wall: Column, declared: Declared) -> Column:
    """The moment at which a clock in the zone showed a time (as if it were UTC); NULL where none ever did.

    A clock that is put forward or back shows by one offset what it shows a day before, and by another what it shows a
    day after. Where both give the time back, and are not the same, it was shown twice.
    """
    zone = declared.time_zone
    if zone is None:
        return wall
    day = expression(_DAY)

    def shown(wall: Column) -> Column:
        tried = [F.to_utc_timestamp(wall - day, zone) + day, F.to_utc_timestamp(wall + day, zone) - day]
        moments = [_once(one, lambda at: F.when(F.from_utc_timestamp(at, zone) == wall, at)) for one in tried]
        return _once(F.array(*moments), chosen)

    def chosen(moments: Column) -> Column:
        # both pass over NULL
        earlier, later = F.array_min(moments), F.array_max(moments)
        choice = {"earlier": earlier, "later": later}
        return choice.get(declared.ambiguous, F.when(earlier == later, earlier))

    return _once(wall, shown)
