"""What ``test_messages`` starts as a process of its own: runs that fail on canaries, and all that people see of them.

Its arguments are the project's folder and a person's canary; the secret one is in the environment.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from lakehouse.cli import main
from lakehouse.lake.place import Lake
from lakehouse.lake.table import exists, read_table
from lakehouse.runtime.session import start

EMAIL = "columns: {id: string, email: {type: string, classification: personal}, phone: string}"
PERSONAL = EMAIL.replace("phone: string", "phone: {type: string, classification: personal}")
FILES = 'kind: files, path: "${param:landing}/%s", format: %s, contract: {%s}'
ROWS = FILES % ("rows", "csv", EMAIL)
PLACE = "partition_columns: [email], name_pattern: '(?P<phone>.+)-x[.]parquet'"
KAFKA = "kind: kafka, topics: [t], bootstrap_servers: '${env:CANARY}', value: json, contract: {columns: {id: string}}"
RULE = "rules: [{name: no_year, check: \"to_timestamp(email, 'yyyy') is null\"}]"
WORKER = """
@F.udf('int')
def of(email):
    raise RuntimeError(f'of {email}')


def transform(rows):
    return rows.withColumn('n', of('email'))
"""
RAISES = """
def transform(rows):
    raise ValueError('no such person: %s' % rows.first().email)
"""
LAZY = """
def transform(rows):
    return rows.withColumn('n', F.col('email').cast('int'))
"""
JOBS = {
    "deletes": (ROWS, 'mode: scd1, keys: [id], sequence_by: id, apply_as_deletes: "cast(email as int) = 1"', ""),
    "kafka": (
        KAFKA,
        "mode: append",
        "",
    ),
    "lazy": (ROWS, "mode: append", LAZY),
    "no_header": (
        FILES.replace(", contract: {%s}", "") % ("bare", "csv"),
        "mode: append",
        "\ndef transform(rows):\n    return rows.select('identifier')\n",
    ),
    "places": (f"{FILES % ('places', 'parquet', PERSONAL)}, {PLACE}", "mode: append", ""),
    "raises": (ROWS, "mode: append", RAISES),
    "rule": (FILES % ("rows", "csv", f"{EMAIL}, {RULE}"), "mode: append", ""),
    "sql": (ROWS, "mode: append", "SELECT id, cast(:p as int) AS n FROM rows"),
    "worker": (ROWS, "mode: append", WORKER),
}


def write(root: Path, person: str) -> None:
    """Write a project whose jobs fail, each in a way of its own."""
    settings = "spark: {spark.sql.shuffle.partitions: 1}"
    texts = {
        "conf/env/local.yaml": f"lake: lake\nparams: {{landing: landing, p: '${{env:CANARY}}'}}\n{settings}\n",
        "landing/rows/1.csv": f"id,email\n1,{person}\n",
        f"landing/places/email={person}/{person}-x.parquet": "no parquet",
        "landing/bare/1.csv": f"7,{person}\n8,x\n",
    }
    for name, (source, how, code) in JOBS.items():
        head = f"job: {name}\nabout: A canary.\nsources: {{rows: {{{source}}}}}\n"
        texts[f"conf/{name}.yaml"] = f"{head}write: {{table: bronze.{name}, {how}}}\n"
        if code.startswith("SELECT"):
            texts[f"jobs/{name}.sql"] = code
        elif code:
            texts[f"jobs/{name}.py"] = f"from pyspark.sql import functions as F\n{code}"
    for file, text in texts.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)


def say(*words: object) -> None:
    """Write a line to stdout."""
    sys.stdout.write(f"{' '.join(map(str, words))}\n")


def call(*arguments: str) -> None:
    """Call the command line."""
    say("$", *arguments)
    sys.argv = ["lakehouse", *arguments]
    try:
        main()
    except SystemExit as ended:
        say("exit", ended.code)


def tell(lake: Lake) -> None:
    """Say what the ledger and the quarantine hold; what was received stays as it is, and is masked where it is shown."""
    spark = start("canaries", {})
    for table in (lake.ledger, lake.quarantine("bronze.places")):
        if exists(spark, table):
            for row in read_table(spark, table).drop("record", "received", "source").collect():
                say(table.name, json.dumps(row.asDict(), default=str))


def fail_in_a_write(lake: Lake, person: str) -> None:
    """Let Delta itself meet what cannot be cast: Spark's log tells of it."""
    spark = start("canaries", {})
    rows = spark.createDataFrame([(person,)], "email string").selectExpr("cast(email as int) AS n")
    try:
        rows.write.format("delta").save(f"{lake.root}/bronze/log")
    except Exception as error:
        say("write", type(error).__name__)


def tries(root: Path, person: str) -> None:
    """Do all of it."""
    write(root, person)
    os.chdir(root)
    for name in JOBS:
        call("run", name, "--json")
    for name in ("kafka", "raises", "no_header"):
        call("plan", name)
    call("status", "deletes", "places", "--json")
    call("doctor")
    call("quarantine", "show", "bronze.places", "--json")
    lake = Lake(str(root / "lake"))
    tell(lake)
    fail_in_a_write(lake, person)


if __name__ == "__main__":
    tries(Path(sys.argv[1]), sys.argv[2])
