# Databricks notebook source
# MAGIC %md
# MAGIC From raw order files to daily sales: the jobs of this project, one after the other, on this notebook's session.
# MAGIC A notebook calls jobs and defines nothing; `lakehouse.run` returns where every row went.

# COMMAND ----------

from __future__ import annotations

import lakehouse

# COMMAND ----------

for job in ("bronze_orders", "bronze_customers", "silver_orders", "gold_daily_sales"):
    result = lakehouse.run(job, spark=spark)  # noqa: F821 -- a notebook has its session
    print(job, result.target.version, result.rows)
