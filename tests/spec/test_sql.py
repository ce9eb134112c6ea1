"""SQL printed anew: what lexers read differently is refused, all else says what it said. No Spark."""

from __future__ import annotations

import pytest

from lakehouse.spec.expression import columns_of, row_condition, understood
from lakehouse.spec.sql import DEEPEST, SqlTextError, canonical


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("a > 1 -- why\nand b", "a > 1       \nand b"),
        ("a /* x\n y */+1", "a     \n     +1"),
        ("a\t=\r\n'it''s'", "a =\n'it\\'s'"),
        ('a = "it\'s"', "a = 'it\\'s'"),
        (r"a rlike r'\d+'", r"a rlike '\\d+'"),
        (r"a like 'x\%' or a = '\n\u0041'", "a like 'x\\\\%' or a = '\nA'"),
        ("a = '$x' and `$y` = X'ab'", "a = '\\u0024x' and `$y` = X'AB'"),
        ("größe > .5 and `a``b`", "`größe` > 0.5 and `a``b`"),
        ("cast(a as array<array<int>>)", "cast(a as array<array<int> >)"),
        (
            "SELECT /*+ BROADCAST(o) */ date'2020-01-01', :p FROM o",
            "SELECT /*+ BROADCAST(o) */ date'2020-01-01', :p FROM o",
        ),
        ("case when a then -1 else 1e3 end", "case when a then -1 else 1e3 end"),
    ],
)
def test_what_is_printed_says_what_was_written_and_is_printed_the_same_again(text, printed):
    assert canonical(text) == printed
    assert canonical(printed) == printed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a > 1 /* /*+ */ or b -- */", "a comment within a comment"),
        ("a /* /* */ */", "a comment within a comment"),
        ("a /* x", "a comment that does not end"),
        ("a = '1' -- why \\\n and b", "a line may not end with a backslash"),
        ("a /*+ x */", "a hint stands right after SELECT"),
        ("SELECT /*+ X(a) --*/ x", "a comment within a hint"),
        ("SELECT /*+ X('a') */ x", "a hint holds names, numbers"),
        ("SELECT /*+ x", "a hint that does not end"),
        ("a = 'x' 'y'", "a text right after another value"),
        ("a = 'x'\"y\"", "a text right after another value"),
        ("b'1' = a", "b before a text is not known here"),
        ("x 'AB'", "x before a text is not known here"),
        ("X'A'", "pairs of hexadecimal digits"),
        (r"a = '\d'", r"Spark takes the backslashes of '\d' away"),
        (r"a = '\101'", "Spark takes the backslashes"),
        (r"a = '\ud800'", "Spark takes the backslashes"),
        ("a = 'x", "a text that does not end"),
        ("a = `x", "a name in backticks that does not end"),
        ("a = 1a", "1a… is no number"),
        ("a = 1.", "is no number"),
        ("a.1", "a name that begins with a digit"),
        ("a\u00a0= 1", "the character U+00A0 is not a part of SQL here"),
        ("a\x0b= 1", "the character U+000B"),
        ("a = ${x}", "no parameters or references in SQL"),
        ("a = @x", "a parameter is written :name"),
        ("a |> b", "no |> here"),
        ("a = {x}", "'{' is not a part of SQL here"),
        ("a)", "')' closes nothing"),
        ("(a]", "']' closes nothing"),
        ("((a)", "'(' is never closed"),
        ("(" * 3000 + "a" + ")" * 3000, f"nested deeper than {DEEPEST}"),
        ("case when " * 3000, f"nested deeper than {DEEPEST}"),
        ("not " * 3000 + "a", "nested deeper than 8"),
    ],
)
def test_what_two_lexers_may_read_differently_is_refused_with_its_place(text, told):
    with pytest.raises(SqlTextError) as caught:
        canonical(text)
    assert told in str(caught.value)
    assert 0 <= caught.value.start <= len(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a < b < c", "a second comparison by <"),
        ("a = b is null", "a second comparison by is"),
        ("a between 1 and 2 = b", "a second comparison by ="),
        ("a & b | c > 1", "& and | side by side"),
        ("a || b + 1 = c", "+ and || side by side"),
        ("a = not b", "not stands before a whole condition"),
        ("a not", "not stands before a whole condition"),
        ("a like any ('x', 'y') & b", "stands after LIKE"),
        ("any(a)", "stands after LIKE"),
        ("-1::int = a", "is read in two ways"),
        ("map(1) = 1", "not an SQL expression"),
        ("a = 'yester' || 'day' = b", "a second comparison"),
        (" + ".join(["a"] * 1500), "at most 2,000 parts"),
        (" * ".join(["a"] * 300), "more than 200 operators side by side"),
        ("other.lower(a) = 'x'", "lower() is none of the functions"),
        ("`uuid`() = a", "uuid() is none of the functions"),
        ("\u212aower(a) = 'x'", "none of the functions"),
    ],
)
def test_what_only_precedence_decides_is_refused(text, told):
    for read in (columns_of, understood):
        with pytest.raises(ValueError, match=r".") as caught:
            read(text)
        assert told in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a between 1 and 2 and b > 1",
        "not a = b and c is not null",
        "a not in (1, 2) or b not like 'x%'",
        "cast(a as map<string,array<int>>)['x'][0] > -1 and -a < - 1",
        "case when a > 1 then b = 2 else c = 3 end = d",
        "a || '-' || b = c and d + 1 > e - 2",
        "s.x like 'a' escape '/' and s.`case` = 1 and exists(xs, x -> x > 1 and not x = 2)",
        "a is distinct from b or a <=> c",
        "a like any ('x', 'y') and b",
        "date'2020-01-01' + interval 1 day > a",
    ],
)
def test_conditions_as_people_write_them_are_taken(text):
    assert row_condition(text)
