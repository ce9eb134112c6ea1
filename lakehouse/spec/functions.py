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

_OF_QUERIES = """
aes_decrypt any any_value approx_top_k approx_top_k_accumulate approx_top_k_combine approx_top_k_estimate array_agg
assert_true bit_and bit_or bit_xor bitmap_and_agg bitmap_bit_position bitmap_bucket_number bitmap_construct_agg
bitmap_count bitmap_or_agg collate collect_list collect_set count_min_sketch cume_dist dense_rank first first_value
from_avro from_csv from_xml grouping grouping_id histogram_numeric hll_sketch_agg hll_sketch_estimate hll_union
hll_union_agg is_variant_null kll_sketch_agg_bigint kll_sketch_agg_double kll_sketch_agg_float kll_sketch_get_n_bigint
kll_sketch_get_n_double kll_sketch_get_n_float kll_sketch_get_quantile_bigint kll_sketch_get_quantile_double
kll_sketch_get_quantile_float kll_sketch_get_rank_bigint kll_sketch_get_rank_double kll_sketch_get_rank_float
kll_sketch_merge_bigint kll_sketch_merge_double kll_sketch_merge_float kll_sketch_to_string_bigint
kll_sketch_to_string_double kll_sketch_to_string_float lag last last_value lead listagg localtimestamp
make_dt_interval make_interval make_time make_timestamp_ltz make_timestamp_ntz make_valid_utf8 make_ym_interval mode
nth_value ntile parse_json percent_rank percentile_cont percentile_disc printf quote raise_error rank reduce regr_avgx
regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number schema_of_csv
schema_of_variant schema_of_variant_agg schema_of_xml sentences session_window shiftrightunsigned some st_asbinary
st_geogfromwkb st_geomfromwkb st_setsrid st_srid string_agg theta_difference theta_intersection theta_intersection_agg
theta_sketch_agg theta_sketch_estimate theta_union theta_union_agg time time_diff time_trunc to_avro to_csv to_time
to_variant_object to_xml try_aes_decrypt try_make_interval try_make_timestamp try_make_timestamp_ltz
try_make_timestamp_ntz try_parse_json try_parse_url try_to_time try_validate_utf8 try_variant_get unix_timestamp
validate_utf8 variant_get window window_time xpath xpath_double xpath_float xpath_int xpath_long xpath_number
xpath_short xpath_string
"""
_GENERATORS = """
explode explode_outer inline inline_outer json_tuple posexplode posexplode_outer range stack variant_explode
variant_explode_outer
"""
GENERATORS = frozenset(_GENERATORS.split())
"""What makes rows of a value, and reads nothing from anywhere."""

OF_QUERIES = SCALARS | CLOCK | AGGREGATES | GENERATORS | frozenset(_OF_QUERIES.split())
"""What the SQL of a job may call: functions of Spark's that make their result of arguments and rows, or the time."""

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
