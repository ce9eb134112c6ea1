-- What each customer has ordered since a day; one without an order is there, too.
WITH latest AS (
  SELECT CAST(customer_id AS bigint) AS customer_id, max_by(segment, CAST(updated_at AS timestamp)) AS segment
  FROM customers
  GROUP BY ALL
)
SELECT
  latest.customer_id,
  coalesce(latest.segment, 'unknown') AS segment,
  count(orders.order_id) AS orders,
  coalesce(sum(orders.amount), 0) AS revenue,
  max(to_date(orders.ordered_at)) AS last_order
FROM latest
LEFT JOIN orders
  ON orders.customer_id = latest.customer_id
  AND orders.status <> 'cancelled'
  AND orders.ordered_at >= CAST(:since AS timestamp)
GROUP BY ALL
