"""Patterns that are taken, as Java matches them."""

from __future__ import annotations

import random
import re

from py4j.protocol import Py4JJavaError
from pyspark.errors import IllegalArgumentException

from lakehouse.spec.pattern import why_refused

ATOMS = ["a", "b", ".", "[ab]", "[^c]", r"\S", "ab", "(?=a)", "a{2}", r"\1"]
REPEATS = ["", "", "", "+", "*", "?", "++", "?+", "+?", "{2}", "{1,3}+", "{2,}+", "{2}{2,}+"]
GROUPS = ["(", "(?:", "(?>"]
TEXTS = ["ab", "a", "aab", "\U0001f600aba", "aabbb"]
LENGTH = 20_000


def pattern_of(chance: random.Random, depth: int = 2) -> str:
    parts = []
    for _ in range(chance.randint(1, 3)):
        inner = chance.random() < 0.5 and depth
        part = f"{chance.choice(GROUPS)}{pattern_of(chance, depth - 1)})" if inner else chance.choice(ATOMS)
        parts.append(part + chance.choice(REPEATS))
    return ("|" if chance.random() < 0.1 else "").join(parts)


def overflows(spark, pattern: str) -> bool:
    """Whether Java's stack is too small for the pattern and one of the texts."""
    jvm = spark._jvm
    try:
        compiled = jvm.java.util.regex.Pattern.compile(f"^{pattern}$")
    except IllegalArgumentException:
        # what Java does not take is no pattern
        return False
    for text in TEXTS:
        try:
            compiled.matcher(text * (LENGTH // len(text))).find()
        except Py4JJavaError as error:
            return "StackOverflowError" in str(error.java_exception.getClass())
    return False


def test_a_pattern_that_is_taken_never_fills_javas_stack(spark):
    assert overflows(spark, "(a++b?)+")
    chance = random.Random(4)
    drawn = {f"({pattern_of(chance)}){chance.choice(('+', '*', '++', '+?', '{1,190}'))}" for _ in range(1500)}
    # two repetitions that give back may take a text's length squared
    quick = (pattern for pattern in drawn if len(re.findall(r"(?<![+*?}])[*+](?!\+)", pattern)) < 2)
    taken = sorted(pattern for pattern in quick if why_refused(pattern) is None)
    assert len(taken) > 80
    assert [pattern for pattern in taken if overflows(spark, pattern)] == []
