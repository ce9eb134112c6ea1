"""Paths as Spark takes them. No Spark."""

from __future__ import annotations

import pytest

from lakehouse.read.scan import glob_escaped


@pytest.mark.parametrize(
    ("path", "escaped"),
    [
        ("/a/b:c.csv", "/a/b:c.csv"),
        ("file:///a/${env:PATH}.json", "file:///a/$\\{env[:]PATH\\}.json"),
        ("file:/a/{b}:c", "file:/a/\\{b\\}[:]c"),
        ("hdfs://host:8020/a{b}:c", "hdfs://host:8020/a\\{b\\}[:]c"),
        ("s3a://b/x[1]*", "s3a://b/x\\[1\\]\\*"),
    ],
)
def test_a_colon_in_a_name_that_must_be_escaped_makes_no_uri_of_it(path, escaped):
    assert glob_escaped(path) == escaped
