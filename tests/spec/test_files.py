"""What a files source may say of its formats, and how what is wrong with it is told."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lakehouse.spec.files import FilesSource


def source(**more: object) -> FilesSource:
    return FilesSource.model_validate({"kind": "files", "path": "landing", **more})


def told(**more: object) -> str:
    with pytest.raises(ValidationError) as caught:
        source(**more)
    return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in caught.value.errors())


FIXED = {"format": "fixed_width", "fixed_width": {"columns": {"id": 3}}}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"format": "yaml"}, "'fixed_width' or 'excel'"),
        ({"format": "xml"}, "needs xml: {row_tag: …}"),
        ({"format": "fixed_width"}, "needs fixed_width: {columns: {…}}"),
        ({"xml": {"row_tag": "<o>"}}, "String should match pattern"),
        ({"encoding": "klingon"}, "'ISO-8859-1' or 'windows-1252'"),
        ({"csv": {"quote": ","}}, "',' cannot be two things at once"),
        ({"csv": {"comment": '"'}}, "cannot be two things at once"),
        ({"csv": {"escape": ","}}, "csv: Value error, ',' cannot be two things at once"),
        ({"csv": {"escape": "#", "comment": "#"}}, "'#' cannot be two things at once"),
        ({"csv": {"delimiter": "a'b", "quote": "'"}}, '"\'" cannot be two things at once'),
        ({"csv": {"delimiter": "\\t", "quote": "\t"}}, "cannot be two things at once"),
        ({"csv": {"delimiter": "\\t", "line_separator": "\t"}}, "cannot be two things at once"),
        ({"csv": {"quote": "\n"}}, "cannot be two things at once"),
        ({"csv": {"delimiter": "|\n"}}, "a line break ends a record, and no field"),
        ({"csv": {"line_separator": "\n"}}, "line breaks of every kind end a record already"),
        ({"csv": {"line_separator": "||"}}, "needs multiline: false"),
        ({"csv": {"columns": ["id"]}}, "say header: false where they have none"),
        ({"csv": {"header": False}}, "files without a header need csv.columns"),
        ({"csv": {"header": False, "columns": ["id", "ID"]}}, "'ID' is named twice"),
        ({"csv": {"header": False, "columns": ["_source"]}}, "'_source' is reserved"),
        ({"fixed_width": {"columns": {}}}, "at least 1 item"),
        ({"fixed_width": {"columns": {"id": 0}}}, "greater than or equal to 1"),
        ({"fixed_width": {"columns": {"id": 3}, "line_length": 2}}, "the columns reach to character 3"),
        ({"excel": {"header_row": 0}}, "greater than or equal to 1"),
        ({"json": {"multi": True}}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_is_told(more: dict[str, object], message: str) -> None:
    assert message in told(**more)


def test_a_column_begins_where_the_one_before_it_ends_unless_it_says() -> None:
    options = source(**FIXED).fixed_width
    assert options
    assert (options.end, options.fields["id"].start) == (3, 1)
    columns = {"id": 3, "n": {"start": 10, "length": 2}, "city": 5}
    options = source(fixed_width={"columns": columns}).fixed_width
    assert options
    assert [(name, at.start, at.length) for name, at in options.fields.items()] == [
        ("id", 1, 3),
        ("n", 10, 2),
        ("city", 12, 5),
    ]
    assert options.end == 16


def test_columns_of_files_without_a_header_may_be_those_of_the_contract() -> None:
    found = source(csv={"header": False}, contract={"columns": {"b": "int", "a": "string"}})
    assert found.headerless == ("b", "a")
    assert source(csv={"header": False, "columns": ["x"]}, contract={"columns": {"b": "int"}}).headerless == ("x",)
