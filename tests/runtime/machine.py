"""A small project whose results may depend on the machine: ``machine.py FOLDER`` runs it in a session of somebody else's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from lakehouse.testing import LocalLake, plugin

TEXTS = ("TITLE", "title", "Iğdır", "ISPARTA", "istanbul", "İzmir", "ı", "Straße", "ΌΔΟΣ")
BRONZE = """\
job: bronze
about: a
sources:
  rows:
    kind: files
    path: "${param:landing}/rows"
    csv: {delimiter: ";"}
    contract:
      columns:
        id: int not null
        text: string
        day: {type: date, formats: d.M.yyyy}
        amount: {type: "decimal(9,2)", decimal: ",", thousands: "."}
        at: {type: timestamp, time_zone: Europe/Berlin}
        plain: timestamp
        active: boolean
      rules:
        - {name: known, check: "lower(text) <> 'title' or upper(text) = 'TITLE' and text ilike 'TITLE'"}
        - {name: not_isparta, check: "not lower(text) = 'isparta'"}
write: {table: bronze.rows, mode: scd1, keys: ID, sequence_by: AT}
"""
SILVER = """\
job: silver
about: a
sources: {rows: {kind: table, table: bronze.rows}}
write: {table: silver.rows, mode: overwrite}
"""
SQL = """\
SELECT Id, upper(text) AS INFO, lower(text) AS low, initcap(text) AS title, date_format(day, 'EEEE d. MMMM') AS names,
  format_number(amount, 2) AS number, CAST(amount AS string) AS amount, CAST(at AS string) AS at, hour(PLAIN) AS hours,
  date_format(plain, 'yyyy-MM-dd HH:mm VV a') AS zone, to_date('1 Jan 2026', 'd MMM yyyy') AS january, dayname(day) AS short,
  CAST(CAST(day AS timestamp) AS string) AS midnight, active, text = upper('i') AS is_capital, text RLIKE '(?i)^i' AS begins
FROM rows
"""


def play(spark: SparkSession, folder: Path) -> dict[str, Any]:
    """Run the project, and show what came of it as text."""
    for name in ("conf/env", "jobs", "lake/landing/rows"):
        (folder / name).mkdir(parents=True)
    (folder / "conf/env/local.yaml").write_text("lake: lake\nparams: {landing: landing}\n")
    (folder / "conf/bronze.yaml").write_text(BRONZE)
    (folder / "conf/silver.yaml").write_text(SILVER)
    (folder / "jobs/silver.sql").write_text(SQL)
    lines = [
        f"{number};{text};{number + 1}.1.2026;1.234,5{number};2026-07-01T00:30;2026-07-01 00:30;TRUE"
        for number, text in enumerate(TEXTS)
    ]
    text = "\n".join(["ID;TEXT;DAY;AMOUNT;AT;PLAIN;ACTIVE", *lines])
    (folder / "lake/landing/rows/a.csv").write_text(text, encoding="utf-8")
    lake = LocalLake(spark, folder / "lake", folder)
    counts = lake.run("bronze").rows
    lake.run("silver")
    aside = lake.frame("quarantine.bronze_rows").selectExpr("record", "CAST(reasons AS string)", "message").collect()
    spelled = [[None if one is None else str(one) for one in row] for row in lake.rows("silver.rows")]
    return {
        "accepted": counts.accepted,
        "rows": spelled,
        "columns": lake.frame("silver.rows").columns,
        "aside": sorted(list(row) for row in aside),
    }


if __name__ == "__main__":
    builder = SparkSession.builder.appName("a notebook")
    for key, value in plugin._SETTINGS.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    language = session._jvm.java.util.Locale.getDefault().getLanguage()
    made = play(session, Path(sys.argv[1]))
    sys.stdout.write(json.dumps({"language": language, "made": made}))
    session.stop()
