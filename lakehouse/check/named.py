"""The checks that have a name: pure functions from columns to a column; NULL in, NULL out.

A new one is a function here, its line in ``lakehouse.spec.functions.NAMED``, and a test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.check.codes import COUNTRIES, CURRENCIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column

_EMAIL = (
    r"^(?=.{3,254}$)(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?>\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++)*+"
    r"@(?>[A-Za-z0-9](?>[A-Za-z0-9-]{0,61}[A-Za-z0-9])?+\.)++[A-Za-z](?>[A-Za-z0-9-]{0,61}[A-Za-z0-9])\z"
)
_URL = r"^(?i:https?|ftps?|s3a?|wss?)://[^\s/?#]++(?>[/?#]\S*+)?+\z"
_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\z"
_DATE = r"^\d{4}-\d{2}-\d{2}\z"
_TIMESTAMP = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?\z"
_IBAN = r"^[A-Z]{2}\d{2}[A-Z0-9]{11,30}\z"
_PHONE = r"^\+[1-9]\d{6,14}\z"


def is_email(text: Column) -> Column:
    """``name@host.tld`` as mail servers take it, in ASCII, unquoted: RFC 5321 without its rarer forms."""
    return text.rlike(_EMAIL)


def is_url(text: Column) -> Column:
    """A URL with a scheme and a host."""
    return text.rlike(_URL)


def is_uuid(text: Column) -> Column:
    """A UUID with its four hyphens, in either case: RFC 9562."""
    return text.rlike(_UUID)


def is_phone(text: Column) -> Column:
    """A telephone number as E.164 writes it: a plus and up to 15 digits."""
    return text.rlike(_PHONE)


def is_iban(text: Column) -> Column:
    """A bank account's number without blanks whose check digits are right: ISO 13616, ISO 7064 mod 97-10."""
    turned = F.split(F.concat(F.substr(text, F.lit(5)), F.left(text, F.lit(4))), "")
    whole = F.when(text.rlike(_IBAN), F.filter(turned, lambda one: one != ""))

    def digits(rest: Column, one: Column) -> Column:
        # a letter stands for two digits: A for 10
        is_letter = one.rlike("[A-Z]")
        return F.when(is_letter, (rest * 100 + F.ascii(one) - 55) % 97).otherwise((rest * 10 + F.ascii(one) - 48) % 97)

    is_right = F.coalesce(F.aggregate(whole, F.lit(0), digits) == 1, F.lit(False))
    return F.when(text.isNotNull(), is_right)


def is_iso_date(text: Column) -> Column:
    """A day that there is, as ``2026-02-28``: ISO 8601."""
    return F.when(text.rlike(_DATE), text.try_cast("date").isNotNull()).when(text.isNotNull(), F.lit(False))


def is_iso_timestamp(text: Column) -> Column:
    """A time that there is, as ``2026-02-28T13:05:00Z``: ISO 8601."""
    there_is = F.substr(text, F.lit(1), F.lit(19)).try_cast("timestamp").isNotNull()
    return F.when(text.rlike(_TIMESTAMP), there_is).when(text.isNotNull(), F.lit(False))


def is_currency(text: Column) -> Column:
    """A currency's code of three letters: ISO 4217."""
    return text.isin(*sorted(CURRENCIES))


def is_country(text: Column) -> Column:
    """A country's code of two or three letters: ISO 3166-1."""
    return text.isin(*sorted(COUNTRIES))


def is_finite(number: Column) -> Column:
    """A number, and neither NaN nor infinite."""
    return ~(F.isnan(number) | number.cast("double").isin(float("inf"), float("-inf")))


def not_blank(text: Column) -> Column:
    """Some character that shows: not nothing, and not blanks alone."""
    return text.rlike(r"[^\s\p{Z}\x{200B}\x{FEFF}]")


def length_between(text: Column, least: int, most: int) -> Column:
    """So many characters, both bounds included."""
    return F.length(text).between(least, most)


def matches(text: Column, pattern: str) -> Column:
    """The whole text is of the pattern (Java's regular expressions)."""
    return text.rlike(rf"\A(?:{pattern})\z")


def implies(condition: Column, then: Column) -> Column:
    """Where the first is true, the second is, too."""
    return F.when(condition, then).otherwise(F.lit(True))


CHECKS: dict[str, Callable[..., Column]] = {
    check.__name__: check
    for check in (
        implies,
        is_country,
        is_currency,
        is_email,
        is_finite,
        is_iban,
        is_iso_date,
        is_iso_timestamp,
        is_phone,
        is_url,
        is_uuid,
        length_between,
        matches,
        not_blank,
    )
}
"""The checks by the names that rules call them by."""
