"""Thousands of texts of SQL, held against Spark's own parser; scripts play the same corpus for longer."""

from __future__ import annotations

import pytest

from tests.attacks.sql import play


@pytest.mark.parametrize("seed", [16])
def test_spark_reads_of_no_text_another_tree_than_the_one_that_was_judged(spark, seed):
    played = play(spark, 2500, seed)
    assert played.faults == []
    # the corpus is no corpus if nothing of it is taken
    assert min(played.counts[f"{kind} taken"] for kind in ("condition", "precedence", "query")) > 100
