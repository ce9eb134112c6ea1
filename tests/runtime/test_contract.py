"""A contract on a whole run: what a feed of text becomes, and what is told of it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Workshop

JOB = """
sources:
  orders:
    kind: files
    path: "${param:landing}/orders"
    csv: {delimiter: ";"}
    contract:
      unknown: rescue
      columns:
        id: {type: int, notation: number, nullable: false, about: The shop's number}
        amount: {type: "decimal(12,2)", decimal: ",", thousands: ".", null_values: [k.A., ""], about: What is paid}
        day: {type: date, formats: [dd.MM.yyyy, yyyy-MM-dd]}
        at: {type: timestamp, formats: dd.MM.yyyy HH:mm, time_zone: Europe/Berlin}
        paid: {type: boolean, true_values: ja, false_values: nein}
write: {table: silver.orders, mode: append, comments: {amount: In euros}}
"""
FEED = """\
id;amount;day;at;paid;coupon
1;1.234,56;01.02.2026;01.07.2026 12:00;ja;
2.0;k.A.;2026-02-01;01.01.2026 12:00;NEIN;X9
3e0;1.23,4;31.02.2026;25.10.2026 02:30;oui;
x;5;01.02.2026;01.07.2026 12:00;ja;
"""


def test_a_feed_of_german_text_is_typed_exactly_and_what_does_not_fit_is_rescued(workshop: Workshop) -> None:
    workshop.land("orders/a.csv", FEED)
    result = workshop.run(workshop.job("orders", JOB))
    assert (result.rows.read, result.rows.accepted, result.rows.quarantined) == (4, 3, 1)
    columns = ("id", "amount", "day", "cast(at as string)", "paid", "_rescued")
    found = [tuple(row) for row in workshop.frame("silver.orders").selectExpr(*columns).orderBy("id").collect()]
    assert found == [
        (1, Decimal("1234.56"), date(2026, 2, 1), "2026-07-01 10:00:00", True, None),
        (2, None, date(2026, 2, 1), "2026-01-01 11:00:00", False, '{"coupon":"X9"}'),
        (3, None, None, None, None, '{"amount":"1.23,4","day":"31.02.2026","at":"25.10.2026 02:30","paid":"oui"}'),
    ]
    assert workshop.rows("quarantine.silver_orders", "code", "reasons") == [("CAST", ["CAST:id"])]
    # what the contract says of a column, and where the write says something, that
    comments = {field.name: field.metadata.get("comment") for field in workshop.frame("silver.orders").schema.fields}
    assert (comments["id"], comments["amount"], comments["day"]) == ("The shop's number", "In euros", None)
    told = [row.rules for row in workshop.frame("ops.runs").where("event = 'batch'").collect()]
    assert told == [{"unknown:coupon": 1}]
