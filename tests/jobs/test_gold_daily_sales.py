"""The transform of gold_daily_sales: rows in, rows out."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from chispa import assert_df_equality

from jobs.gold_daily_sales import transform

ORDERS = "customer_id bigint, status string, amount decimal(12,2), ordered_at string"
CUSTOMERS = "customer_id string, segment string, updated_at string"
SALES = "order_date date, segment string, orders bigint, revenue decimal(22,2)"


def test_orders_are_summed_by_day_and_the_customers_latest_segment(spark):
    orders = spark.createDataFrame(
        [
            (1, "paid", Decimal("10.00"), "2026-03-01T23:59:59Z"),
            (1, "open", Decimal("2.50"), "2026-03-01T00:00:00Z"),
            (1, "cancelled", Decimal("99.00"), "2026-03-01T12:00:00Z"),
            (2, "paid", None, "2026-03-02T00:00:00Z"),
            (9, "paid", Decimal("1.00"), "2026-03-02T00:00:00Z"),
        ],
        ORDERS,
    ).selectExpr("customer_id", "status", "amount", "cast(ordered_at as timestamp) as ordered_at")
    customers = spark.createDataFrame(
        [("1", "retail", "2026-01-01"), ("1", "trade", "2026-02-01 08:00:00"), ("2", None, "2026-01-01")], CUSTOMERS
    )
    expected = spark.createDataFrame(
        [
            (date(2026, 3, 1), "trade", 2, Decimal("12.50")),
            (date(2026, 3, 2), "unknown", 2, Decimal("1.00")),
        ],
        SALES,
    )
    assert_df_equality(transform(orders, customers), expected, ignore_row_order=True, ignore_nullable=True)
