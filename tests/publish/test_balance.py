"""The two balances: every row that came, and every row that was made, has one fate."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from lakehouse.errors import ImbalanceError
from lakehouse.publish.ledger import Rows

GOOD = Rows(
    read=10, accepted=7, quarantined=2, dropped=1,
    produced=36, inserted=1, updated=2, deleted=3, unchanged=4, superseded=5, duplicates=6, rejected=7, filtered=8,
)  # fmt: skip


def test_counts_that_add_up_are_given_back():
    assert GOOD.balance() is GOOD
    assert Rows().balance() == Rows()


@pytest.mark.parametrize("name", [one.name for one in fields(Rows)])
@pytest.mark.parametrize("difference", [-1, 1])
def test_one_row_too_many_or_too_few_anywhere_is_an_error(name, difference):
    with pytest.raises(ImbalanceError) as caught:
        replace(GOOD, **{name: getattr(GOOD, name) + difference}).balance()
    side = "read" if name in ("read", "accepted", "quarantined", "dropped") else "produced"
    assert caught.value.message.startswith(f"{side} ")
    assert (caught.value.code, caught.value.exit_code) == ("IMBALANCE", 1)


def test_what_is_missing_on_one_side_is_not_made_up_for_by_the_other():
    with pytest.raises(ImbalanceError):
        replace(GOOD, read=11, produced=35).balance()


def test_batches_add_up_to_their_run():
    total = GOOD + GOOD + Rows()
    assert all(getattr(total, one.name) == 2 * getattr(GOOD, one.name) for one in fields(Rows))
    assert total.balance() is total
