"""What a contract says of a column: how its text is written, and what it means."""

from __future__ import annotations

import pytest

from lakehouse.spec.column import Column
from lakehouse.spec.contract import Contract
from lakehouse.spec.time_pattern import time_pattern

JOB = """\
job: x
about: a
sources:
  s: {kind: files, path: in, contract: c.yaml}
write: {table: silver.s, mode: append}
"""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{type: int, formats: yyyy-MM-dd}", "formats: means nothing for int: it is for date, timestamp"),
        ("{type: array<date>, trim: true}", "trim: means nothing for array<date>"),
        ("{type: timestamp_ntz, time_zone: Europe/Berlin}", "time_zone: means nothing for timestamp_ntz"),
        ("{type: timestamp, time_zone: Europe/Berln}", "unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?"),
        ("{type: timestamp, time_zone: CET}", "unknown time zone 'CET': expected Area/City, UTC or +HH:MM"),
        ("{type: timestamp, ambiguous: later}", "ambiguous: needs a time_zone"),
        ("{type: timestamp, formats: yyyy-MM-dd HH:mmXXX, time_zone: UTC}", "time_zone: every format says its offset"),
        ("{type: date, formats: yyyy-MM-dd HH:mmXXX}", "formats.0: a date has no offset from UTC"),
        ("{type: date, formats: [epoch_millis]}", "formats.0: epoch_millis is a timestamp, and no date"),
        ("{type: date, formats: [yyyy-MM-dd, dd.MM.yy]}", "formats.1: yy does not say the century"),
        ("{type: date, formats: yyyy-MM-dd, two_digit_years_from: 1970}", "two_digit_years_from: no format has a year"),
        ("{type: date, formats: []}", "formats: expected at least one"),
        ("{type: date, formats: dd.MM}", "formats.0: 'dd.MM' has no year"),
        ("{type: date, formats: d.M.yyyy EEE}", "formats.0: 'EEE' is not a part of a pattern"),
        ("{type: date, formats: dMyyyy}", "can be read in two ways: nothing tells where d ends and M begins"),
        ("{type: timestamp, formats: yyyy-MM-dd hh:mm}", "says the hour of twelve and no am or pm"),
        ("{type: timestamp, formats: yyyy-MM-dd HH}", "says the hour and no minute"),
        ("{type: timestamp, formats: 'yyyy-MM-dd[ HH:mm]'}", "'[' cannot stand in a pattern"),
        ("{type: 'decimal(5,2)', thousands: '.'}", "thousands: '.' is the decimal separator, too"),
        ("{type: double, thousands: '0'}", "thousands: '0' is a part of a number"),
        ("{type: int, decimal: ','}", "decimal: an integer has none, unless notation: number"),
        ("{type: double, notation: number}", "notation: means nothing for double"),
        ("{type: boolean, true_values: [j]}", "true_values: true_values without false_values"),
        ("{type: boolean, true_values: [j], false_values: [J]}", "false_values: 'j' means two things"),
        ("{type: boolean, true_values: [j], false_values: [n], null_values: [n]}", "false_values: 'n' means two things"),
        ("{type: int, null_values: [NULL]}", "null_values.0: expected text (quote it if it is meant as text)"),
        ("{type: int, not_finite: reject}", "not_finite: means nothing for int: it is for float, double"),
    ],
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_told_at_its_line(folder, line, told):
    folder.write("c.yaml", f"columns:\n  good: int\n  bad: {line}\n")
    [problem] = folder.problems(JOB)
    assert problem.startswith("c.yaml:3:")
    assert f"columns.bad.{told}" in problem or told in problem


def test_a_pattern_is_read_as_spark_writes_it():
    assert time_pattern("dd.MM.yyyy 'at' HH:mm").shape == r"^\d{2}\.\d{2}\.(?!0000)\d{4}\ at\ \d{2}:\d{2}$"
    # Spark's parser finds no end of the seconds where a fraction follows directly
    assert time_pattern("yyyyMMddHHmmssSSS").spark == "yyyyMMddHHmmss.SSS"


@pytest.mark.parametrize(
    ("classification", "is_personal"),
    [(None, False), ("", False), ("public", False), ("Internal", False), ("personal", True), ("4", True), ("confidential", True)],
)  # fmt: skip
def test_a_column_is_masked_unless_it_is_said_to_be_harmless(classification, is_personal):
    column = Column(type="string", classification=classification)
    assert column.is_personal is is_personal
    assert Contract(columns={"a": column}).personal == (("a",) if is_personal else ())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("key: b", "'b' is not declared"),
        ("key: [n]", "'n' may be NULL, and a key tells rows from each other"),
        ("freshness: {column: att, within: 1 day}", "'att' is not declared; did you mean 'at'?"),
        ("freshness: {column: at, within: soon}", "'soon' does not match"),
        ("unknown: reject", "unknown value 'reject'"),
    ],
)
def test_a_fact_that_cannot_be_is_told_at_its_line(folder, said, told):
    folder.write("c.yaml", f"columns: {{a: int not null, at: timestamp, n: int}}\n{said}\n")
    [problem] = folder.problems(JOB)
    assert problem.startswith("c.yaml:2:")
    assert told in problem


def test_facts_of_a_contract_are_kept():
    contract = Contract.model_validate(
        {
            "name": "orders", "version": "1.2.0", "owner": "shop", "about": "Orders.", "unknown": "rescue", "key": "id",
            "freshness": {"column": "at", "within": "24 hours"},
            "columns": {"ID": {"type": "int", "nullable": False, "unit": "piece"}, "at": "timestamp"},
        }
    )  # fmt: skip
    assert (contract.key, contract.freshness.within, contract.columns["ID"].unit) == (("id",), "24 hours", "piece")


def test_without_columns_nothing_can_be_unknown(folder):
    folder.write("c.yaml", "unknown: refuse\n")
    assert "c.yaml:1:10: unknown: no columns are declared" in folder.problems(JOB)[0]


def test_what_is_rescued_has_a_name_that_no_column_takes(folder):
    folder.write("c.yaml", "unknown: rescue\ncolumns: {_rescued: string}\n")
    assert "columns._rescued: '_rescued' is the column of what is rescued" in folder.problems(JOB)[0]


def test_what_becomes_of_unknown_fields_of_kafka_is_said_once(folder):
    folder.write("c.yaml", "unknown: ignore\ncolumns: {a: int}\n")
    kafka = "kind: kafka, bootstrap_servers: 'localhost:1', topics: t, value: json, rescue: more"
    assert "say it once" in folder.problems(JOB.replace("kind: files, path: in", kafka))[0]
