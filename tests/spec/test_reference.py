"""References: looked up late, told by name, and never shown."""

from __future__ import annotations

import pytest

from lakehouse.errors import UndefinedReferenceError
from lakehouse.spec.reference import references, resolve

UNSEEN = "what nobody may see"


def resolved(text, *, params=None, environ=None):
    return resolve(text, params=params or {}, environ=environ or {}, field="sources.orders.path")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("$5 and {x}", "$5 and {x}"),
        ("${env:A}", "from env"),
        ("${param:b}", "given"),
        ("x/${env:A}/${param:b}/${env:A}", "x/from env/given/from env"),
        ("${param:nested}", "<from env>"),
        ("${env:ODD}", "${env:A}"),
    ],
)
def test_a_reference_becomes_its_value_once(text, value):
    params = {"b": "given", "nested": "<${env:A}>"}
    assert resolved(text, params=params, environ={"A": "from env", "ODD": "${env:A}"}) == value


def test_the_names_referred_to_are_told_by_kind():
    assert references("${env:A}${param:b}${param:c}", "param") == {"b", "c"}


def test_an_undefined_variable_is_named_with_how_to_set_it():
    with pytest.raises(UndefinedReferenceError) as caught:
        resolved("${env:LANDING}", environ={"LANDINGS": UNSEEN})
    assert caught.value.message == "sources.orders.path: ${env:LANDING} is not defined"
    assert caught.value.hint == "export LANDING=… before the run"
    assert UNSEEN not in str(caught.value)


def test_an_undefined_parameter_is_named_with_the_nearest_one():
    with pytest.raises(UndefinedReferenceError) as caught:
        resolved("${param:ladning}", params={"landing": UNSEEN})
    assert "--param ladning=…" in caught.value.hint
    assert "did you mean 'landing'?" in caught.value.hint
    assert UNSEEN not in str(caught.value)


def test_a_parameter_that_refers_to_an_undefined_variable_is_named():
    with pytest.raises(UndefinedReferenceError, match=r"params.a: \$\{env:B\} is not defined"):
        resolved("${param:a}", params={"a": "${env:B}"})


MALFORMED = [
    "${",
    "a${b",
    "${foo}",
    "${env:}",
    "${env:A",
    "${env:A B}",
    "${Env:A}",
    "${param:1}",
    "${env:A}${",
    "${${env:A}}",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_reference_is_never_taken_for_text(text):
    with pytest.raises(UndefinedReferenceError, match="is not a reference: write"):
        resolved(text, environ={"A": UNSEEN})


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_reference_is_an_error_of_the_file(folder, text):
    problems = folder.problems(
        f"""\
        job: x
        about: a
        params:
          a: '{text}'
        sources:
          o:
            kind: files
            path: 'a/{text}'
        write: {{table: a.b, mode: append}}
        """
    )
    assert [problem.split(": ")[0] for problem in problems] == ["conf/x.yaml:4:6", "conf/x.yaml:8:11"]
    assert "write ${env:NAME} or ${param:NAME}" in problems[0]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_reference_is_an_error_of_the_environment(folder, text):
    problems = folder.env_problems(
        f"""\
        lake: '{text}'
        roots: ['{text}']
        params: {{a: '{text}'}}
        spark: {{spark.sql.x: '{text}'}}
        """
    )
    assert len(problems) == 4


def test_a_spec_shows_references_and_not_what_they_stand_for(folder, monkeypatch):
    monkeypatch.setenv("HIDDEN", UNSEEN)
    env = folder.env("lake: ${env:HIDDEN}\nspark: {spark.hadoop.fs.s3a.secret.key: '${env:HIDDEN}'}\n")
    assert "${env:HIDDEN}" in repr(env)
    assert UNSEEN not in repr(env)
