"""Words of others, as they are shown: without values of rows, without secrets, on a terminal as on paper."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from lakehouse.errors import ConfigError, InvalidConfigError, LakehouseError, Problem
from lakehouse.foreign import first_line, hide_places, innermost, keep_secret, mask, printable, show_file

SECRET = "p'a/ss wörd+1&"  # noqa: S105 -- a canary


class SparkError(Exception):
    """An exception as Spark's are, of classic Spark and of Connect."""

    def __init__(self, condition, said, **parameters):
        super().__init__(f"[{condition}] {said}")
        self.condition, self.parameters = condition, parameters

    def getCondition(self):  # noqa: N802
        return self.condition

    def getMessageParameters(self):  # noqa: N802
        return self.parameters


class AnalysisException(SparkError):  # noqa: N818 -- as Spark calls it
    """What is wrong before a row is read."""


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            SparkError(
                "CAST_INVALID_INPUT",
                "The value 'ann@x.com' of the type \"STRING\" cannot be cast to \"INT\". SQLSTATE: 22018\n== SQL ==\nann",
                expression="'ann@x.com'",
                sourceType='"STRING"',
                targetType='"INT"',
            ),
            '[CAST_INVALID_INPUT] The value *** of the type "STRING" cannot be cast to "INT".',
        ),
        # a value that pretends to be the end of the sentence
        (
            SparkError(
                "CAST_INVALID_INPUT",
                "The value 'x' of the type \"ann\" cannot' of the type \"STRING\" cannot be cast",
                expression="'x' of the type \"ann\" cannot'",
                sourceType='"STRING"',
            ),
            '[CAST_INVALID_INPUT] The value *** of the type "STRING" cannot be cast',
        ),
        (
            SparkError("INVALID_ARRAY_INDEX", "The index 5 is out of 55 elements", indexValue="5", arraySize="55"),
            "[INVALID_ARRAY_INDEX] The index *** is out of *** elements",
        ),
        (SparkError("USER_RAISED_EXCEPTION", "ann", errorMessage="ann"), "[USER_RAISED_EXCEPTION] ***"),
        # a message that does not hold its parameters as they are
        (
            SparkError("ODD", "ann smith is", value="Ann Smith"),
            "[ODD] what it says is not shown: it may hold a value",
        ),
        (SparkError("NEW_ONE", "of ann"), "[NEW_ONE] what it says is not shown: it may hold a value"),
        (
            AnalysisException(
                "UNRESOLVED_COLUMN.WITH_SUGGESTION",
                "`emial`. Did you mean [`email`, `ann@x.com`, `7`]",
                objectName="`emial`",
                proposal="`email`, `ann@x.com`, `7`",
            ),
            "[UNRESOLVED_COLUMN.WITH_SUGGESTION] `emial`. Did you mean [`email`, ***, ***]",
        ),
        (ValueError("invalid literal for int(): 'ann'"), "invalid literal for int(): ***"),
        (KeyError("ann"), "***"),
        (ValueError("it's an unclosed ann"), "it***"),
        (NameError("name 'x' is not defined"), "name 'x' is not defined"),
        (FileNotFoundError(2, "No such file", "/a/b"), "[Errno 2] No such file: '/a/b'"),
        (ConfigError("conf/a.yaml: 'x' is none"), "conf/a.yaml: 'x' is none"),
        (Exception("An error occurred while calling o1.x.\n: java.io.IOException: '/a' is gone\n\tat b"),
         "java.io.IOException: '/a' is gone"),
        (Exception("An error occurred while calling o1.x.\n: x.E: [SOME_CODE] ann"),
         "x.E: [SOME_CODE] what it says is not shown: it may hold a value"),
    ],
)  # fmt: skip
def test_an_exception_is_shown_without_values(error, shown):
    assert first_line(error) == shown


def test_of_a_stack_the_innermost_cause_is_shown_without_values():
    stack = 'x.Y: a\n\tat b\nCaused by: java.lang.NumberFormatException: For input string: "ann"\n\tat c'
    assert innermost(stack) == "java.lang.NumberFormatException: For input string: ***"
    assert innermost("org.x.E: [PATH_NOT_FOUND] no /a") == "org.x.E: [PATH_NOT_FOUND] no /a"
    assert "ann" not in innermost("a.E: [DELTA_FAILED_CAST_PARTITION_VALUE] Failed to cast partition value `ann`")
    assert "ann" not in innermost("a.E: [DELTA_VIOLATE_CONSTRAINT_WITH_VALUES] c violated: - email : ann")


def test_what_a_reference_stood_for_is_masked_however_it_is_written():
    keep_secret(SECRET, "${env:KEY}")
    data = SECRET.encode()
    written = [
        SECRET,
        SECRET.upper(),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET).lower(),
        json.dumps(SECRET),
        repr(SECRET),
        SECRET.replace("'", "''"),
        data.hex(),
        data.hex().upper(),
        base64.b64encode(data).decode(),
        SECRET[:9] + "...",
    ]
    for one in written:
        for text in (one, f"x{one}y", f"a '{one}' b", f"https://u:{one}@host/"):
            masked = mask(text)
            assert "${env:KEY}" in masked, text
            assert "p'a/ss" not in masked.lower(), text
    assert mask("a/b is no secret, nor is p'a") == "a/b is no secret, nor is p'a"


def test_a_list_is_masked_part_by_part_and_a_short_value_only_where_it_stands_alone():
    keep_secret("broker-a:9092,broker-b:9092", "${env:B}")
    keep_secret("7", "${env:N}")
    keep_secret("orders", "${env:T}")
    assert mask("'broker-b:9092' is none") == "'${env:B}' is none"
    assert mask("line 7 of '7'") == "line 7 of '${env:N}'"
    assert mask("bronze.orders") == "bronze.${env:T}"
    keep_secret("jdbc:x://y,user=ab,password=Xy1", "${env:URL}")
    assert mask("'Xy1' is wrong for 'ab'") == "'${env:URL}' is wrong for 'ab'"
    keep_secret("", "${env:EMPTY}")
    assert mask("abc") == "abc"


def test_errors_of_this_library_mask_themselves():
    keep_secret("hunter22", "${env:KEY}")
    error = LakehouseError("no hunter22\x1b[2J", hint="not hunter22")
    assert str(error) == "no ${env:KEY}\\x1b[2J\n  hint: not ${env:KEY}"
    problem = Problem("a.yaml", 1, 1, "a", "no\nhunter22 \udc80")
    assert str(InvalidConfigError([problem])) == "a.yaml:1:1: a: no\\n${env:KEY} \\udc80"


def test_a_path_says_nothing_of_a_personal_column():
    hide_places(["Email", "phone"], [r"(?P<phone>[^-]+)-(?P<day>\d+)\.csv"])
    assert mask("/l/email=a@b/d=1/555-20260101.csv: bad") == "/l/email=***/d=1/***-20260101.csv: bad"
    assert mask("no file:/l/EMAIL%3Da%40b/x 'y'") == "no file:/l/EMAIL%3D***/x 'y'"
    assert mask("[email=a@b, day=1] conflicts") == "[email=***, day=1] conflicts"
    assert mask("[day=1, email=a, b, phone=5] conflicts") == "[day=1, email=***, phone=***] conflicts"
    assert mask("email=a@b/part-0 is bad") == "email=***/part-0 is bad"
    assert mask("555-20260101.csv: bad") == "***-20260101.csv: bad"
    assert mask("5 55-20260101.csv") == "***-20260101.csv"
    # a condition of the configuration is no path
    assert mask("email='x' and a") == "email='x' and a"


def test_what_does_not_print_is_escaped_and_lines_stay():
    assert printable("a\tb\nc\rd\x9b\u202e\u2028\ud800é") == "a\tb\nc\\rd\\x9b\\u202e\\u2028\\ud800é"


def test_a_place_is_said_also_where_a_secret_is_a_part_of_its_name():
    for secret in ("silver_orders", "jobs/s", "conf", "customer_id"):
        keep_secret(secret, "${env:X}")
    problem = Problem("conf/silver_orders.yaml", 3, 5, "write.customer_id", "not 'silver_orders'")
    error = InvalidConfigError([problem])
    assert error.message == "conf/silver_orders.yaml:3:5: write.customer_id: not '${env:X}'"
    assert [one.message for one in error.problems] == ["not '${env:X}'"]
    assert InvalidConfigError([*error.problems]).message == error.message
    show_file("jobs/silver_orders.py")
    said = "jobs/silver_orders.py:16: ValueError: silver_orders in jobs/silver_orders.py, x/jobs/silver_orders.py:1"
    shown = "jobs/silver_orders.py:16: ValueError: ${env:X} in jobs/${env:X}.py, x/jobs/${env:X}.py:1"
    assert (mask(said), mask(mask(said))) == (shown, shown)
    # a secret that holds the name of a file is one
    keep_secret("jobs/silver_orders.py:16 and more", "${env:Y}")
    assert "and more" not in mask("jobs/silver_orders.py:16 and more")
