"""The SQL of gold_customer_orders: rows in, rows out, as with a transform in Python."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from chispa import assert_df_equality

ORDERS = "order_id bigint, customer_id bigint, status string, amount decimal(12,2), ordered_at string"
CUSTOMERS = "customer_id string, segment string, updated_at string"
SALES = "customer_id bigint, segment string, orders bigint, revenue decimal(22,2), last_order date"


def test_a_customer_counts_what_was_ordered_since_the_day_and_not_cancelled(spark, lake):
    transform = lake.transform("gold_customer_orders", params={"since": "2026-03-01"})
    orders = spark.createDataFrame(
        [
            (1, 1, "paid", Decimal("10.00"), "2026-03-01T00:00:00Z"),
            (2, 1, "open", Decimal("2.50"), "2026-03-02T23:59:59Z"),
            (3, 1, "paid", Decimal("99.00"), "2026-02-28T23:59:59Z"),
            (4, 1, "cancelled", Decimal("99.00"), "2026-03-03T00:00:00Z"),
            (5, 9, "paid", Decimal("1.00"), "2026-03-03T00:00:00Z"),
        ],
        ORDERS,
    ).selectExpr("order_id", "customer_id", "status", "amount", "cast(ordered_at as timestamp) as ordered_at")
    customers = spark.createDataFrame(
        [("1", "retail", "2026-01-01"), ("1", "trade", "2026-02-01"), ("2", None, "2026-01-01")], CUSTOMERS
    )
    expected = spark.createDataFrame(
        [(1, "trade", 2, Decimal("12.50"), date(2026, 3, 2)), (2, "unknown", 0, Decimal("0.00"), None)], SALES
    )
    assert_df_equality(transform(orders, customers), expected, ignore_row_order=True, ignore_nullable=True)
