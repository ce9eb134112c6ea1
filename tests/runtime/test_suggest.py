"""A suggested contract: the narrowest types that hold, and it accepts the very data that it was made of."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import pytest

from lakehouse import cli
from lakehouse.check.contract import check
from lakehouse.errors import ConfigError, SourceEmptyError
from lakehouse.lake.storage import list_files
from lakehouse.read.files import read_files
from lakehouse.runtime.sample import Sample, Seen
from lakehouse.runtime.sensitive import is_sensitive
from lakehouse.runtime.suggest import contract, look
from lakehouse.spec.column import Column
from lakehouse.spec.contract import Contract
from lakehouse.spec.document import read_document, validate

CLASSIFIES = "classification" in Column.model_fields

COLUMNS = {
    # what is in 120 rows, what it is, and whether it is never NULL
    "id": (str, "int", True),
    "big": (lambda n: n * 10**12, "bigint", True),
    "huge": (lambda n: f"{n}" + "0" * 20, "decimal(25,0)", True),
    "amount": (lambda n: f"-{n}.50", "decimal(12,2)", True),
    "parts": (lambda n: f"{17000 + n}.0" if n % 7 else "", "int", False),
    "share": (lambda n: f"{n}e-30", "double", True),
    "code": (lambda n: f"{n:05}", "string", True),
    "plus": (lambda n: f"+{n}", "string", True),
    "phone": (lambda n: 49731000 + n, "string", True),
    "on": (lambda n: f"2026-01-{n % 28 + 1:02}", "date", True),
    "at": (lambda n: f"2026-01-{n % 28 + 1:02}T10:00:00.5+01:00", "timestamp", True),
    "never": (lambda n: f"2026-02-{n % 31 + 1:02}", "string", True),
    "flag": (lambda n: ("yes", "No")[n % 2], "boolean", True),
    "status": (lambda n: ("open", "it's")[n % 2], "string", True),
    "odd col": (lambda n: ("a", "b")[n % 2], "string", True),
    "some": (lambda n: n if n % 9 else "", "int", False),
    "nothing": (lambda _: "", "string", False),
    "mixed": (lambda n: n if n % 9 else "x", "string", True),
    "login": (lambda n: f"p{n}@example.com", "string", True),
}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "landing"
    made.mkdir()
    names = list(COLUMNS)
    rows = [";".join(str(make(number)) for make, *_ in COLUMNS.values()) for number in range(1, 121)]
    (made / "a.csv").write_text("\n".join([";".join(names), *rows[:60]]) + "\n")
    (made / "b.csv").write_text("\n".join([";".join(names), *rows[60:], "too;few"]) + "\n")
    return made


def spec_of(text, tmp_path):
    file = tmp_path / "suggested.yaml"
    file.write_text(text)
    return validate(Contract, read_document(file, shown_as="suggested.yaml"))


def test_a_contract_has_the_narrowest_types_and_accepts_what_it_was_made_of(spark, folder, tmp_path):
    sample = look(str(folder), None, {}, spark=spark)
    text = contract(sample)
    spec = spec_of(text, tmp_path)
    want = {name: (kind, required) for name, (_, kind, required) in COLUMNS.items()}
    assert {name: (column.type, not column.nullable) for name, column in spec.columns.items()} == want
    assert (sample.rows, sample.bad, sample.source.csv.delimiter) == (120, 1, ";")

    files = read_files(spark, list_files(spark, str(folder), "*"), sample.source, run_id="r", now=datetime.now(UTC))
    checked = check(files, spec)
    assert (checked.read, checked.kept, checked.quarantined, checked.broken) == (121, 120, 1, {})

    # what may be a key, and what there may be; of what is personal no value
    assert "perhaps a key: id, big, code, plus" in text
    assert {rule.name: (rule.check, rule.on_fail) for rule in spec.rules} == {
        "known_odd_col": ("`odd col` in ('a', 'b')", "warn")
    }
    assert "p1@example" not in text
    assert "49731001" not in text
    assert text.count("personal or secret, by its name or looks") == 2
    if CLASSIFIES:
        assert [name for name, one in spec.columns.items() if one.classification] == ["phone", "login"]


def test_a_smaller_look_says_less_and_nothing_is_written_over(spark, folder, tmp_path, monkeypatch, capsys):
    del spark, folder  # the command finds both
    monkeypatch.chdir(tmp_path)
    few = ["lakehouse", "contract", "suggest", "landing/a.csv", "--rows", "50", "--to", "contracts/few.yaml", "--json"]
    for code in (0, 2):
        monkeypatch.setattr(sys, "argv", few)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == code
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["rows"], first["columns"]["id"], second["status"]) == (50, "int", "failed")
    text = (tmp_path / "contracts/few.yaml").read_text()
    assert text == first["contract"]
    assert "Suggested by what landing/a.csv holds: 50 rows of 1 of 1 files" in text
    # what was never NULL in so few rows may be
    assert spec_of(text, tmp_path).columns["id"] == Column(type="int")


def test_what_cannot_be_looked_at_is_told(spark, tmp_path):
    with pytest.raises(ConfigError, match="no such file or folder"):
        look(str(tmp_path / "nowhere"), None, {}, spark=spark)
    with pytest.raises(SourceEmptyError, match="holds no file"):
        look(str(tmp_path), None, {}, spark=spark)
    (tmp_path / "a.doc").write_text("?")
    with pytest.raises(SourceEmptyError, match="a.doc: FILE_FORMAT"):
        look(str(tmp_path), None, {}, spark=spark)
    with pytest.raises(ConfigError, match="--format: Input should be 'csv'"):
        look(str(tmp_path), None, {}, format="doc", spark=spark)
    with pytest.raises(ConfigError, match="--delimiter: "):
        look(str(tmp_path), None, {}, delimiter="much too long", spark=spark)


def test_names_and_values_of_any_kind_are_text_of_the_yaml(tmp_path):
    names = ["a: b", "#c", 'q"uo`te', "on", "ü\\", "true", "x" * 255, "'"]
    columns = tuple(Seen(name, "string", 200, texts=("a", "b"), shortest=1, longest=1) for name in names)
    nested = Seen("tags", "array<struct<`a b`: decimal(3,1)>>", 200)
    strange = Seen("gone", "void", 0)
    spec = spec_of(contract(Sample("a\nb: c", "200 rows", 200, 0, (*columns, nested, strange))), tmp_path)
    assert list(spec.columns) == [*names, "tags"]
    assert spec.columns["tags"].nullable


@pytest.mark.parametrize(
    "name",
    [
        *("email", "customerEmail", "E_MAIL", "phone_number", "name", "first_name", "iban", "Customer", "birth_date"),
        *("password", "user_pwd", "token", "accessToken", "api_key", "APIKey", "apikey", "client_secret", "session_id"),
        *("religion", "diagnosis", "icd10", "ethnicity", "sexual_orientation", "unionMember", "political_party"),
        *("card_number", "cardNo", "PAN", "cvv", "bank_account", "tax_id", "ip_address"),
        *("email1", "phone1", "passwd1", "password2", "api_key2", "dob2", "iban2", "postcode2", "first_name2"),
        *("religion2", "diagnosis1", "zipcode", "ipaddr", "ipaddress", "macaddress", "cc_num", "acct_no", "diag_code"),
        *("connection_string", "connectionString"),
    ],
)
def test_what_is_called_so_may_be_personal_or_secret(name):
    assert is_sensitive(name)


@pytest.mark.parametrize(
    "name",
    [
        *("id", "customer_id", "product_name", "file_name", "description", "emailed", "zipper", "ship", "tip"),
        *(
            "key",
            "order_key",
            "status",
            "amount",
            "page",
            "company",
            "discard",
            "panel",
            "message",
            "sort_key",
            "tokenizer",
            "product_name2",
            "line2",
        ),
    ],
)
def test_what_is_not_called_so_is_not(name):
    assert not is_sensitive(name)


SENSITIVE = {
    # by their names: few texts each, which would be rules; and numbers, which would be told by their ends
    "password": ("hunter2", "letmein"),
    "api_key": ("abc-def", "ghi-jkl"),
    "religion": ("Jedi", "Pastafarian"),
    "diagnosis": ("C34.1", "F32.0"),
    "card_number": ("4111111111111111", "5555555555554444"),
    "salary": ("12345", "98765"),
    # by their form alone
    "a": ("4111 1111 1111 1111", "5555-5555-5555-4444"),
    "b": ("4012888888881881", "378282246310005"),
    "c": ("DE89370400440532013000", "GB33BUKB20201555555555"),
    "d": ("sk_live_abcdef", "ghp_abcdefgh"),
    "e": ("+49 731 555123", "+1 (555) 0100-222"),
    "f": ("078-05-1120", "219-09-9999"),
    # one among others is enough for no rule
    "g": ("none", "none", "none", "none", "sk_live_zyxwvu"),
}


def test_no_value_of_a_column_that_may_be_sensitive_is_written_into_a_contract(spark, tmp_path):
    (tmp_path / "landing").mkdir()
    lines = [";".join(SENSITIVE), *(";".join(some[n % len(some)] for some in SENSITIVE.values()) for n in range(60))]
    (tmp_path / "landing/a.csv").write_text("\n".join([*lines, ""]))
    text = contract(look(str(tmp_path / "landing"), None, {}, spark=spark))
    spec = spec_of(text, tmp_path)
    assert [value for some in SENSITIVE.values() for value in some if value in text and value != "none"] == []
    assert [name for name, one in spec.columns.items() if not one.classification] == ["g"]
    assert not spec.rules
