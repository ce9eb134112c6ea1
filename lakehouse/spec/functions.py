"""What a rule may call: Spark's functions that are pure, its aggregates, and this library's own checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dimension = Literal["completeness", "consistency", "accuracy", "timeliness"]
"""What a rule measures: is all there, does it agree, is each value right, is it there in time."""

_SCALARS = """
abs acos acosh add_months aggregate array array_append array_compact array_contains array_distinct array_except
array_insert array_intersect array_join array_max array_min array_position array_prepend array_remove array_repeat
array_size array_sort array_union arrays_overlap arrays_zip ascii asin asinh atan atan2 atanh base64 bigint bin
binary bit_count bit_get bit_length boolean bround btrim cardinality cast cbrt ceil ceiling char char_length
character_length chr coalesce collation concat concat_ws contains conv convert_timezone cos cosh cot crc32 csc date
date_add date_diff date_format date_from_unix_date date_part date_sub date_trunc dateadd datediff datepart day
dayname dayofmonth dayofweek dayofyear decimal degrees double e element_at elt encode decode endswith equal_null
exists exp expm1 extract factorial filter find_in_set flatten float floor forall format_number format_string
from_json from_unixtime from_utc_timestamp get get_json_object getbit greatest hash hex hour hypot if ifnull initcap
instr int is_valid_utf8 isnan isnotnull isnull json_array_length json_object_keys last_day lcase least left len
length levenshtein ln locate log log10 log1p log2 lower lpad ltrim luhn_check make_date make_timestamp map
map_concat map_contains_key map_entries map_filter map_from_arrays map_from_entries map_keys map_values map_zip_with
mask md5 minute mod month monthname months_between named_struct nanvl negative next_day not nullif nullifzero nvl
nvl2 octet_length overlay parse_url pi pmod position positive pow power quarter radians regexp_count regexp_extract
regexp_extract_all regexp_instr regexp_like regexp_replace regexp_substr repeat replace reverse right rint round
rpad rtrim schema_of_json sec second sequence sha sha1 sha2 shiftleft shiftright sign signum sin sinh size slice
smallint sort_array soundex space split split_part sqrt startswith str_to_map string struct substr substring
substring_index tan tanh timestamp timestamp_micros timestamp_millis timestamp_seconds timestampadd timestampdiff
tinyint to_binary to_char to_date to_json to_number to_timestamp to_timestamp_ltz to_timestamp_ntz to_unix_timestamp
to_utc_timestamp to_varchar transform transform_keys transform_values translate trim trunc try_add try_cast
try_divide try_element_at try_mod try_multiply try_subtract try_to_binary try_to_date try_to_number try_to_timestamp
try_url_decode typeof ucase unbase64 unhex unix_date unix_micros unix_millis unix_seconds upper url_decode
url_encode weekday weekofyear width_bucket xpath_boolean xxhash64 year zeroifnull zip_with
"""
SCALARS = frozenset(_SCALARS.split())
"""Spark's functions of a row: for the same row the same, whenever and wherever, and nothing but a value."""

CLOCK = frozenset({"now", "current_timestamp", "current_date", "curdate"})
"""The time; of a batch it is the one at which it was first begun, so that to run it again judges it the same."""

SESSION = frozenset({"current_catalog", "current_database", "current_schema", "current_user", "session_user", "user"})
"""What Spark says of the session, with parentheses and, where no column has the name, without."""

_AGGREGATES = """
approx_count_distinct approx_percentile avg bool_and bool_or corr count count_if covar_pop covar_samp every kurtosis
max max_by mean median min min_by percentile percentile_approx skewness std stddev stddev_pop stddev_samp sum
try_avg try_sum var_pop var_samp variance
"""
AGGREGATES = frozenset(_AGGREGATES.split())
"""Spark's aggregates that are the same in whatever order the rows come."""

INTERPRETED = frozenset(["approx_count_distinct", "approx_percentile", "median", "percentile", "percentile_approx"])
"""Those for which Spark has no compiled code."""

PATTERNS = {
    **dict.fromkeys(("regexp_count", "regexp_extract", "regexp_extract_all", "regexp_instr"), (1,)),
    **dict.fromkeys(("regexp_like", "regexp_replace", "regexp_substr", "split", "matches"), (1,)),
    "str_to_map": (1, 2),
    "parse_url": (2,),
}
"""Which arguments of a function are regular expressions, from 0, or become a part of one."""


@dataclass(frozen=True)
class Named:
    """A check of this library: what it takes, and what it measures.

    A ``value`` is an expression; ``text`` and ``number`` are literals.
    """

    takes: tuple[Literal["value", "text", "number"], ...] = ("value",)
    dimension: Dimension = "accuracy"


NAMED: dict[str, Named] = {
    "implies": Named(("value", "value"), "consistency"),
    "is_country": Named(),
    "is_currency": Named(),
    "is_email": Named(),
    "is_finite": Named(),
    "is_iban": Named(),
    "is_iso_date": Named(),
    "is_iso_timestamp": Named(),
    "is_phone": Named(),
    "is_url": Named(),
    "is_uuid": Named(),
    "length_between": Named(("value", "number", "number")),
    "matches": Named(("value", "text")),
    "not_blank": Named(dimension="completeness"),
}
"""The checks by name; each is a function of columns in ``lakehouse.check.named``."""
