"""Other names of a column: each is that of one column."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lakehouse.spec.contract import Contract


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"id": {"type": "int", "aliases": ["ID"]}}, "'ID' is 'id' already"),
        ({"id": {"type": "int", "aliases": ["nr"]}, "Nr": "int"}, "'nr' is 'Nr' already"),
        ({"a": {"type": "int", "aliases": ["x"]}, "b": {"type": "int", "aliases": ["X"]}}, "'X' is 'an alias of a'"),
        ({"a": {"type": "int", "aliases": ["__x"]}}, "'__x' is reserved"),
    ],
)
def test_a_name_is_that_of_one_column(columns: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Contract.model_validate({"columns": columns})


def test_an_alias_may_be_one_text() -> None:
    contract = Contract.model_validate({"columns": {"id": {"type": "int", "aliases": "Kd Nr"}}})
    assert contract.names == {"id": "id", "kd nr": "id"}
