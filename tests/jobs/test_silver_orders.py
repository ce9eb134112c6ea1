"""The transform of silver_orders: rows in, rows out."""

from __future__ import annotations

from chispa import assert_df_equality

from jobs.silver_orders import transform

ORDERS = "order_id bigint, status string, _source struct<file:string,position:bigint>"


def test_a_status_is_written_in_one_way_and_the_place_stays_in_bronze(spark):
    orders = spark.createDataFrame([(1, " PAID ", ("a.csv", 1)), (2, "open", None), (3, None, None)], ORDERS)
    expected = spark.createDataFrame([(1, "paid"), (2, "open"), (3, None)], "order_id bigint, status string")
    assert_df_equality(transform(orders), expected, ignore_row_order=True)
