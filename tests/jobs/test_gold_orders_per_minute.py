"""The job gold_orders_per_minute: its transform, and the whole of it over a table of events."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

EVENTS = "event_id string, order_id bigint, status string, amount decimal(12,2), at timestamp"


def test_orders_are_counted_in_the_minute_in_which_they_happened_each_event_once(lake):
    lake.put(
        "bronze.order_events",
        EVENTS,
        [
            ("a", 1, "paid", Decimal("10.00"), datetime(2026, 3, 1, 9, 0, 59)),
            ("a", 1, "paid", Decimal("10.00"), datetime(2026, 3, 1, 9, 0, 59)),
            ("b", 2, "paid", Decimal("5.01"), datetime(2026, 3, 1, 9, 0, 0)),
            ("c", 1, "sent", None, datetime(2026, 3, 1, 9, 1, 0)),
        ],
    )
    result = lake.run("gold_orders_per_minute")
    assert (result.rows.read, result.rows.dropped, result.rows.inserted) == (4, 1, 2)
    assert lake.rows("gold.orders_per_minute") == [
        (datetime(2026, 3, 1, 9, 0), "paid", 2, Decimal("15.01"), Decimal("7.51"), 2),
        (datetime(2026, 3, 1, 9, 1), "sent", 1, None, Decimal("0.00"), 1),
    ]
