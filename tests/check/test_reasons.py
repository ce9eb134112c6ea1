"""Why a row is put aside, as people read it."""

from __future__ import annotations

from pyspark.sql import functions as F

from lakehouse.check.reasons import in_words
from lakehouse.spec.contract import Contract

CONTRACT = Contract.model_validate(
    {
        "columns": {
            "Qty": "int not null",
            "day": {"type": "date", "formats": ["dd.MM.yyyy", "yyyyMMdd"]},
            "email": {"type": "int", "classification": "personal"},
            "phone": "string",
        },
        "rules": [
            {"name": "few", "check": "Qty < 5"},
            {"name": "mail", "check": "email > Qty", "where": "day is not null"},
            {"name": "all", "check": "Qty < 5 and email > 1 and day is null and phone is null"},
        ],
    }
)
ROWS = [
    (["CAST:Qty"], '{"qty":"abc","day":null}', "CAST:Qty: no int: Qty = 'abc'"),
    (
        ["CAST:day", "NULL_VALUE:Qty"],
        '{"day":"1.1"}',
        "CAST:day: no date, written as dd.MM.yyyy or yyyyMMdd: day = '1.1'; "
        "NULL_VALUE:Qty: NULL, which nullable: false does not allow: Qty = NULL",
    ),
    # what a contract of the job classifies, and what is no row of columns
    (["CAST:email"], '{"email":"ann","phone":"555"}', "CAST:email: no int: email = ***"),
    (["CAST:Qty"], "no json: 555", "CAST:Qty: no int"),
    (["RULE:few"], '{"Qty":9}', "RULE:few: not Qty < 5: Qty = '9'"),
    (
        ["RULE:mail"],
        '{"Qty":9,"email":1}',
        "RULE:mail: not email > Qty where day is not null: Qty = '9', day = NULL, email = ***",
    ),
    (["RULE:all"], '{"Qty":9}', "RULE:all: not Qty < 5 and email > 1 and day is null and phone is null"),
    (["UNKNOWN_COLUMN:x"], '{"x":1}', "UNKNOWN_COLUMN:x"),
    (["CAST:Qty"], '{"Qty":"%s"}' % ("9" * 99), f"CAST:Qty: no int: Qty = '{'9' * 60}…'"),
    # a value cannot pretend to be a reason of its own
    (["CAST:Qty"], '{"Qty":"x\'; CAST:day"}', "CAST:Qty: no int: Qty = 'x'; CAST:day'"),
]


def test_a_reason_says_the_value_the_type_and_why_and_masks_what_is_personal(spark):
    rows = spark.createDataFrame(
        [(number, *row) for number, row in enumerate(ROWS)], "n int, r array<string>, j string, t string"
    )
    words = rows.select("t", in_words(F.col("r"), F.col("j"), CONTRACT, {"phone"}).alias("it")).orderBy("n").collect()
    assert [row.it for row in words] == [row.t for row in words]
