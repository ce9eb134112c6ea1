"""``conf/schema.json``, by which editors complete a job's YAML."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lakehouse.spec.schema import schema

HERE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def described():
    return json.loads(schema())


def types(described: dict) -> set[str]:
    """The JSON types that a part of the schema allows."""
    options = described.get("anyOf", [described])
    return {option.get("type", "$ref") for option in options}


def test_the_schema_in_conf_is_the_current_one():
    current = (HERE / "conf" / "schema.json").read_text(encoding="utf-8")
    assert current == schema(), "write it anew: python -m lakehouse.spec.schema > conf/schema.json"


def test_every_job_names_the_schema_for_its_editor():
    for path in (HERE / "conf").glob("*.yaml"):
        assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n"), path


def test_no_part_of_the_schema_takes_an_unknown_key(described):
    specs = [described, *(one for one in described["$defs"].values() if one["type"] == "object")]
    assert len(specs) > 5
    assert all(one["additionalProperties"] is False for one in specs)


@pytest.mark.parametrize("name", ["keys", "sequence_by", "partition_by", "cluster_by"])
def test_the_schema_takes_one_column_or_a_list(described, name):
    assert types(described["$defs"]["Scd1Write"]["properties"][name]) == {"string", "array"}


def test_the_schema_takes_a_column_in_short_or_in_long(described):
    columns = described["$defs"]["Contract"]["properties"]["columns"]
    assert types(columns["additionalProperties"]) == {"string", "$ref"}


@pytest.mark.parametrize("source", ["FilesSource", "TableSource"])
def test_the_schema_takes_a_contract_or_its_file(described, source):
    assert types(described["$defs"][source]["properties"]["contract"]) == {"string", "$ref", "null"}


def test_the_schema_tells_sources_by_kind_and_writes_by_mode(described):
    assert described["properties"]["write"]["discriminator"]["propertyName"] == "mode"
    [source] = described["properties"]["sources"]["patternProperties"].values()
    assert source["discriminator"]["propertyName"] == "kind"
