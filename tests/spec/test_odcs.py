"""Contracts of the Open Data Contract Standard are read as they are, and ours are written as such."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lakehouse.cli import cli
from lakehouse.errors import ExtraMissingError, InvalidConfigError
from lakehouse.spec.odcs_quality import FORMATS
from lakehouse.spec.odcs_types import type_of
from lakehouse.spec.project import Project

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: a\nversion: 1.2.0\nstatus: active\n"
ORDERS = (
    HEAD
    + """\
team: {name: shop, members: [{username: anna, role: steward}]}
servers: [{server: prod, type: custom, description: x}]
schema:
  - name: orders
    physicalName: bronze_orders
    description: One row per order.
    quality:
      - {type: text, description: Good data.}
      - {type: custom, engine: soda, implementation: "checks: 1", customProperties: [{property: lakehouse, value: ignore}]}
    properties:
      - {name: number, physicalName: order_id, logicalType: integer, primaryKey: true, description: The shop's number}
      - name: email
        logicalType: string
        required: true
        classification: personal
        logicalTypeOptions: {format: email, maxLength: 100, pattern: '^\\S+@'}
      - name: amount
        logicalType: number
        physicalType: NUMERIC(12, 2)
        logicalTypeOptions: {minimum: 0, multipleOf: 0.01}
        quality:
          - {metric: nullValues, mustBe: 0, description: An order has a price.}
          - {type: sql, query: 'SELECT count(*) FROM ${table} WHERE ${column} > 100000', mustBe: 0, severity: warning}
      - {name: status, logicalType: string, enum: [{value: open}, {value: "it's"}]}
      - {name: ordered_on, logicalType: date, logicalTypeOptions: {format: dd.MM.yyyy, minimum: '2020-01-01'}}
      - {name: at, logicalType: timestamp, logicalTypeOptions: {defaultTimezone: Europe/Berlin}}
      - {name: line, physicalType: VARCHAR(3)}
      - name: address
        logicalType: object
        properties: [{name: zip, logicalType: string, required: true}, {name: tags, logicalType: array, items: {logicalType: string}}]
slaProperties:
  - {property: freshness, value: 24, unit: h, element: orders.at}
  - {property: retention, value: 3, unit: y}
"""
)


def read(tmp_path: Path, text: str, part: str = ""):
    (tmp_path / "conf").mkdir(exist_ok=True)
    path = tmp_path / "o.yaml"
    path.write_text(text)
    return Project(tmp_path).contract(path.resolve(), part)


def problems(tmp_path: Path, text: str, part: str = "") -> list[str]:
    with pytest.raises(InvalidConfigError) as raised:
        read(tmp_path, text, part)
    return [str(problem) for problem in raised.value.problems]


def table(quality: str = "", column: str = "{name: a, logicalType: string}", more: str = "") -> str:
    """A contract of one table; each part of it on a line of its own, from line 8 on."""
    return f"{HEAD}schema:\n- name: t\n  properties:\n  - {column}\n  quality: [{quality}]\n{more}"


def test_what_a_contract_of_the_standard_promises_of_a_table_is_read(tmp_path):
    contract = read(tmp_path, ORDERS)
    assert (contract.name, contract.version, contract.owner, contract.about) == (
        "orders",
        "1.2.0",
        "shop",
        "One row per order.",
    )
    assert {name: column.type for name, column in contract.columns.items()} == {
        "order_id": "bigint", "email": "string", "amount": "decimal(12,2)", "status": "string", "ordered_on": "date",
        "at": "timestamp", "line": "string", "address": "struct<zip:string,tags:array<string>>",
    }  # fmt: skip
    assert contract.key == ("order_id",)
    assert [name for name, column in contract.columns.items() if not column.nullable] == ["order_id", "email"]
    assert contract.personal == ("email",)
    assert contract.columns["ordered_on"].formats == ("dd.MM.yyyy",)
    assert contract.columns["at"].time_zone == "Europe/Berlin"
    assert (contract.freshness.column, contract.freshness.within) == ("at", "24 hours")
    assert [(rule.check, rule.on_fail) for rule in contract.rules] == [
        (r"email rlike '^[^@\\s]++@[^@\\s.]++(?:\\.[^@\\s.]++)++$'", "quarantine"),
        ("length(email) <= 100", "quarantine"),
        (r"email rlike '^\\S+@'", "quarantine"),
        ("amount >= 0", "quarantine"),
        ("cast(amount as decimal(38,10)) % 0.01 = 0", "quarantine"),
        ("amount is not null", "quarantine"),
        ("not (amount > 100000)", "warn"),
        ("status in ('open', 'it\\'s')", "quarantine"),
        ("ordered_on >= date '2020-01-01'", "quarantine"),
        ("length(line) <= 3", "quarantine"),
        ("address is null or address.zip is not null", "quarantine"),
    ]
    assert contract.rules[5].about == "An order has a price."


def test_a_job_takes_a_table_of_a_file_of_several(folder):
    folder.write(
        "c.yaml",
        f"{HEAD}schema:\n- {{name: a, properties: [{{name: x, logicalType: string}}]}}\n- {{name: b, physicalName: b_1, properties: [{{name: y, logicalType: date}}]}}\n",
    )
    job = "job: x\nabout: a\nsources: {s: {kind: files, path: in, contract: FILE}}\nwrite: {table: silver.s, mode: append}\n"
    assert list(folder.job(job.replace("FILE", "c.yaml#b_1")).stream[1].contract.columns) == ["y"]
    assert folder.problems(job.replace("FILE", "c.yaml")) == [
        "c.yaml:7:1: schema: there are several tables (a, b): name one, as FILE#a"
    ]
    assert folder.problems(job.replace("FILE", "c.yaml#bb")) == [
        "c.yaml:7:1: schema: there is no table 'bb'; did you mean 'b'?"
    ]
    folder.write("c.yaml", "columns: {a: int}\n")
    assert "and this is a contract of one table" in folder.problems(job.replace("FILE", "c.yaml#b"))[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # by the schema of the standard
        (table(column="{name: a, logicalType: string, qualityy: []}"), "o.yaml:9:36: schema.0.properties.0.qualityy: unknown key; did you mean 'quality'?"),
        (table(column="{name: a, logicalType: strin}"), "o.yaml:9:28: schema.0.properties.0.logicalType: 'strin' is not one of"),
        (table(column="{name: a, logicalType: string, logicalTypeOptions: {maxLen: 1}}"), "logicalTypeOptions.maxLen: unknown key; did you mean 'maxLength'?"),
        (table("{metric: rowCount}"), "o.yaml:10:13: schema.0.quality.0: expected one of mustBe, mustNotBe, mustBeGreaterThan"),
        (table("{metric: rowCont, mustBe: 1}"), "schema.0.quality.0.metric: 'rowCont' is not one of"),
        (table(more="slaPropertes: []\n"), "o.yaml:11:1: slaPropertes: unknown key; did you mean 'slaProperties'?"),
        (HEAD.replace("id: a\n", ""), "'id' is missing"),
        (HEAD.replace("v3.1.0", "v2.2.2"), "o.yaml:1:13: apiVersion: 'v2.2.2' is not read: expected v3.0.0 to v3.2.0"),
        (HEAD.replace("v3.1.0", "v3.9.9"), "apiVersion: 'v3.9.9' is not one of"),
        (HEAD, "schema: there is no table in it"),
        # by what can be judged
        (table("{type: custom, engine: soda, implementation: x}"), "o.yaml:10:13: schema.0.quality.0: a rule of soda cannot be judged here"),
        (table("{metric: invalidValues, mustBe: 0}"), "invalidValues is of a column, and this is a table"),
        (table(column="{name: a, logicalType: string, quality: [{metric: invalidValues, mustBe: 0}]}"), "it needs arguments.validValues or pattern"),
        (table("{type: sql, query: 'SELECT count(*) FROM ${table} JOIN b', mustBe: 0}"), "a query that is not one aggregate of the table itself"),
        (table("{type: sql, query: 'SELECT count(*) FROM other', mustBe: 0}"), "a query that is not one aggregate of the table itself"),
        (table("{type: sql, query: 'SELECT count(*) FROM t WHERE a IN (SELECT b FROM t)', mustBe: 0}"), "a query that is not one aggregate"),
        (table("{type: sql, query: 'SELECT a FROM t', mustBe: 0}"), "a query that is not one aggregate of the table itself"),
        (table("{type: sql, query: 'DELETE FROM t', mustBe: 0}"), "a query that is not one aggregate of the table itself"),
        (table("{type: sql, query: 'SELECT count(*) FROM t; DROP TABLE t', mustBe: 0}"), "a query that is not one aggregate of the table itself"),
        (table("{type: sql, query: 'SELEC (', mustBe: 0}"), "schema.0.quality.0: not SQL"),
        (table("{type: sql, query: 'SELECT count(*) FROM t WHERE b = 1', mustBe: 0}"), "reads 'b', which is not declared"),
        (table(column="{name: a, logicalType: string, logicalTypeOptions: {format: iban}}"), "o.yaml:9:65: schema.0.properties.0.logicalTypeOptions.format: the format 'iban' cannot be judged"),
        (table(column="{name: a, logicalType: date, logicalTypeOptions: {format: dd.MM}}"), "schema.0.properties.0: 'dd.MM' has no year"),
        (table(column="{name: a, logicalType: time}"), "schema.0.properties.0.name: no type is known by logicalType: time"),
        (table(column="{name: a, physicalType: GEOGRAPHY}"), "schema.0.properties.0.physicalType: no type is known by physicalType: GEOGRAPHY"),
        (table(column="{name: a, logicalType: array, items: {logicalType: string, required: true}}"), "properties.0.items.required: what is promised of elements"),
        (table(column="{name: a, logicalType: string, relationships: [{to: b.id}]}"), "relationships.0: 'b.id' cannot be looked up: expected schema.table.column"),
        (table(more="slaProperties: [{property: freshness, value: 1, unit: y, element: t.a}]\n"), "o.yaml:11:17: slaProperties.0: expected a whole value, a unit"),
    ],
)  # fmt: skip
def test_what_breaks_the_standard_or_cannot_be_judged_is_told_at_its_line(tmp_path, text, told):
    [problem] = problems(tmp_path, text)
    assert told in problem


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("email", ["a@b.de", "a.b+c@x-y.co.uk"], ["a@b", "a b@c.de", "@b.de", "a@b..de", "a@@b.de", "a@b.de "]),
        ("uuid", ["123e4567-E89B-12d3-a456-426614174000"], ["123e4567e89b12d3a456426614174000", "x23e4567-e89b-12d3-a456-426614174000"]),
        ("uri", ["https://a.b/c?d", "urn:x"], ["a.b/c", "http://a b", ":x"]),
        ("hostname", ["a", "a-b.c1.de"], ["-a.de", "a-.de", "a..de", "a_b", "x" * 64]),
        ("ipv4", ["1.0.0.0", "255.249.1.99"], ["01.1.1.1", "256.1.1.1", "1.1.1", "1.1.1.1.1", "1.1.1.1."]),
        ("byte", ["", "QQ==", "QUI=", "QUJD"], ["Q", "QQ=", "QUJDQ", "Q==="]),
    ],
)  # fmt: skip
def test_a_format_is_a_pattern_that_texts_of_it_have(form, good, bad):
    # Java reads these as Python does
    assert [text for text in good if not re.search(FORMATS[form], text)] == []
    assert [text for text in bad if re.search(FORMATS[form], text)] == []


def test_every_problem_is_told_at_once(tmp_path):
    text = table(
        "{type: custom, engine: soda, implementation: x}",
        "{name: a, logicalType: string, logicalTypeOptions: {format: iban}}",
    )
    assert len(problems(tmp_path, text)) == 2


@pytest.mark.parametrize(
    ("said", "type_"),
    [
        ({"logicalType": "integer"}, "bigint"),
        ({"logicalType": "integer", "logicalTypeOptions": {"format": "u16"}}, "int"),
        ({"logicalType": "integer", "physicalType": "VARCHAR(10)"}, "bigint"),  # it lies there as text
        ({"logicalType": "integer", "physicalType": "INTEGER"}, "int"),
        ({"logicalType": "number"}, "double"),
        ({"logicalType": "number", "logicalTypeOptions": {"format": "f32"}}, "float"),
        ({"logicalType": "number", "physicalType": "number(38)"}, "decimal(38,0)"),
        ({"logicalType": "timestamp", "physicalType": "TIMESTAMP WITHOUT TIME ZONE"}, "timestamp_ntz"),
        ({"logicalType": "string", "physicalType": "Character Varying(5)"}, "string"),
        ({"physicalType": "double precision"}, "double"),
        ({"physicalType": "array<decimal(5, 2)>"}, "array<decimal(5,2)>"),
        ({"logicalType": "time", "physicalType": "text"}, "string"),
        ({"logicalType": "map", "map": {"key": {"logicalType": "string"}, "value": {"logicalType": "date"}}}, "map<string,date>"),
        ({"logicalType": "object", "properties": [{"name": "a b", "logicalType": "boolean"}]}, "struct<`a b`:boolean>"),
    ],
)  # fmt: skip
def test_a_type_is_that_in_which_it_lies_where_that_is_a_form_of_what_it_means(said, type_):
    assert type_of(said, (), pytest.fail) == type_


OURS = """\
name: orders
version: 1.2.0
owner: shop
about: One row per order.
unknown: rescue
key: [line, order_id]
freshness: {column: at, within: 24 hours}
columns:
  order_id: bigint not null
  line: int not null
  amount: {type: "decimal(12,2)", decimal: ",", thousands: ".", unit: EUR, about: What is paid}
  at: {type: timestamp, formats: [dd.MM.yyyy HH:mm], time_zone: Europe/Berlin}
  email: {type: string, classification: personal, null_values: ["", n/a]}
  tags: array<string>
  more: map<string,int>
  s: "struct<a:int,`b c`:string>"
rules:
  - {name: positive, check: amount >= 0, on_fail: warn, about: No refunds}
  - {name: known, check: "email rlike r'^[^@]+@\\\\w+$'"}
  - {name: odd, check: "luhn_check(email)"}
"""


def test_a_contract_that_is_exported_and_read_again_is_the_same(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "ours.yaml").write_text(OURS)
    done = CliRunner().invoke(
        cli, ["contract", "export", str(tmp_path / "ours.yaml"), "--to", str(tmp_path / "o.yaml"), "--json"]
    )
    assert done.exit_code == 0, done.output
    project = Project(tmp_path)
    ours, again = project.contract(tmp_path.resolve() / "ours.yaml"), project.contract(tmp_path.resolve() / "o.yaml")
    assert again == ours
    told = (tmp_path / "o.yaml").read_text()
    assert "query: SELECT count(*) FROM ${table} WHERE NOT (amount >= 0)" in told
    assert "engine: lakehouse" in told  # what no other engine can ask
    over = CliRunner().invoke(
        cli, ["contract", "export", str(tmp_path / "ours.yaml"), "--to", str(tmp_path / "o.yaml")]
    )
    assert (over.exit_code, "nothing is written over" in over.output) == (2, True)


def test_a_machine_without_the_extra_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_data_contract_standard", None)
    with pytest.raises(ExtraMissingError, match="needs open_data_contract_standard") as raised:
        read(tmp_path, table())
    assert raised.value.hint == "pip install 'lakehouse[odcs]'"
