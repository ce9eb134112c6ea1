"""A job in its place: its references resolved, its paths inside of the roots, its code loaded. No Spark."""

from __future__ import annotations

import re

import pytest

from lakehouse.errors import ConfigError, TransformMismatchError, UndefinedReferenceError
from lakehouse.runtime.workplace import lake_of, load_transform, prepare
from lakehouse.spec.project import Project

FILES = """\
job: x
about: a
sources:
  orders: {{kind: files, path: '{path}'}}
write: {{table: bronze.orders, mode: append}}
"""
HIDDEN = "nobody-may-see-this"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project whose job reads ``${param:landing}/orders``, as the working directory."""
    monkeypatch.delenv("LAKEHOUSE_ENV", raising=False)
    root = (tmp_path / "project").resolve()
    (root / "conf" / "env").mkdir(parents=True)
    (root / "jobs").mkdir()
    (root / "conf/x.yaml").write_text(FILES.format(path="${param:landing}/orders"))
    (root / "conf/env/local.yaml").write_text("lake: .lake\nparams: {landing: landing}\n")
    monkeypatch.chdir(root)
    return root


def environment(root, text):
    (root / "conf/env/local.yaml").write_text(text)


def code(root, text):
    (root / "jobs/x.py").write_text(text)


def test_paths_are_relative_to_the_project_wherever_it_is_called_from(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    work = prepare(str(root / "conf/x.yaml"))
    assert work.lake.root == str(root / ".lake")
    assert work.folders == {"orders": str(root / "landing/orders")}


def test_a_lake_of_the_command_line_is_relative_to_where_it_is_given(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert prepare("x", root=root, lake="other").lake.root == str(tmp_path / "other")


def test_a_parameter_is_taken_from_the_caller_else_the_environment_else_the_job(root):
    conf = root / "conf/x.yaml"
    conf.write_text(conf.read_text() + "params: {landing: of_job, other: of_job}\n")
    assert prepare("x", params={"landing": "given"}).folders["orders"] == str(root / "given/orders")
    assert prepare("x").folders["orders"] == str(root / "landing/orders")
    environment(root, "lake: .lake\n")
    assert prepare("x").folders["orders"] == str(root / "of_job/orders")


def test_a_parameter_that_only_the_path_names_can_be_given(root):
    environment(root, "lake: .lake\n")
    with pytest.raises(UndefinedReferenceError, match=r"sources.orders.path: \$\{param:landing\} is not defined"):
        prepare("x")
    assert prepare("x", params={"landing": "given"}).folders["orders"] == str(root / "given/orders")


@pytest.mark.usefixtures("root")
def test_a_parameter_that_nothing_takes_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match="--param ladning: job x has no such parameter; did you mean 'landing'"):
        prepare("x", params={"ladning": "a"})


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "{outside}", "link/orders", "/etc"])
def test_a_source_outside_of_the_roots_is_refused(root, tmp_path, path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "conf/x.yaml").write_text(FILES.format(path=path.format(outside=outside)))
    with pytest.raises(
        ConfigError, match="lies outside of the project, the lake and the environment's roots"
    ) as caught:
        prepare("x")
    assert "roots:" in caught.value.hint


@pytest.mark.parametrize("landing", ["/etc", "../..", "file:///etc", "s3://bucket", "dbfs:/mnt", "/a/../etc"])
@pytest.mark.usefixtures("root")
def test_a_parameter_cannot_lead_out_of_the_roots(landing):
    with pytest.raises(ConfigError, match="lies outside"):
        prepare("x", params={"landing": landing})


@pytest.mark.parametrize("landing", ["s3://bucket/in/../../other", "dbfs:/mnt/../x"])
@pytest.mark.usefixtures("root")
def test_a_uri_with_a_way_up_is_refused(landing):
    with pytest.raises(ConfigError, match=re.escape("may not hold '..'")):
        prepare("x", params={"landing": landing})


@pytest.mark.parametrize("landing", ["{a,..}", "*", "day?", "[.][.]", "a\\*"])
@pytest.mark.usefixtures("root")
def test_a_folder_that_spark_would_take_for_a_pattern_is_refused(landing):
    with pytest.raises(ConfigError, match=re.escape("sources.orders.path: a folder, without")) as caught:
        prepare("x", params={"landing": landing})
    assert "pattern:" in caught.value.hint


def test_a_source_in_the_lake_or_in_a_root_is_read(root, tmp_path):
    environment(root, f"lake: {tmp_path}/lake\nroots: ['{tmp_path}/data', 's3://bucket/in']\n")
    for landing in (f"{tmp_path}/lake", f"{tmp_path}/data", "s3://bucket/in"):
        assert prepare("x", params={"landing": landing}).folders["orders"] == f"{landing}/orders"


@pytest.mark.parametrize("landing", ["{tmp}/data2", "s3://bucket/in2", "s3://bucket2/in"])
def test_a_folder_whose_name_only_begins_like_a_root_is_refused(root, tmp_path, landing):
    environment(root, f"lake: .lake\nroots: ['{tmp_path}/data', 's3://bucket/in']\n")
    with pytest.raises(ConfigError, match="lies outside"):
        prepare("x", params={"landing": landing.format(tmp=tmp_path)})


def test_a_path_that_cannot_be_one_is_refused(root):
    (root / "conf/x.yaml").write_text(FILES.format(path="x").replace("'x'", '"a\\0b"'))
    with pytest.raises(ConfigError, match=r"sources.orders.path: is not a path"):
        prepare("x")


@pytest.mark.parametrize("said", ["", None])
def test_an_empty_lake_is_not_the_project_itself(root, monkeypatch, said):
    monkeypatch.setenv("LAKE", "")
    environment(root, "lake: ${env:LAKE}\nparams: {landing: a}\n")
    with pytest.raises(ConfigError, match="lake: is empty"):
        prepare("x", lake=said)


def test_settings_are_resolved_as_text_for_spark(root, monkeypatch):
    monkeypatch.setenv("SHUFFLES", "7")
    environment(
        root,
        "lake: .lake\nparams: {landing: a}\nspark: {spark.sql.shuffle.partitions: '${env:SHUFFLES}', "
        "spark.sql.adaptive.enabled: false, spark.memory.fraction: 0.6, spark.sql.x: 3}\n",
    )
    assert set(prepare("x").settings.values()) == {"7", "false", "0.6", "3"}


def test_a_value_that_is_hidden_stays_so_in_every_text(root, monkeypatch):
    monkeypatch.setenv("HIDDEN", HIDDEN)
    settings = "spark: {spark.hadoop.fs.s3a.secret.key: '${env:HIDDEN}'}\n"
    environment(root, "lake: .lake\nparams: {landing: '${env:HIDDEN}'}\n" + settings)
    work = prepare("x")
    assert HIDDEN in work.settings["spark.hadoop.fs.s3a.secret.key"]
    assert HIDDEN in work.folders["orders"]
    assert HIDDEN not in repr(work)


@pytest.mark.parametrize(
    "value", [f"/{HIDDEN}", f"s3://key:{HIDDEN}@bucket", f"s3://{HIDDEN}/../x", f"{HIDDEN}*", "../" + HIDDEN]
)
@pytest.mark.parametrize("text", ["lake: .lake\nparams: {landing: '${env:HIDDEN}'}\n"])
def test_a_value_that_is_hidden_is_in_no_error(root, monkeypatch, text, value):
    monkeypatch.setenv("HIDDEN", value)
    environment(root, text)
    with pytest.raises(ConfigError) as caught:
        prepare("x")
    assert HIDDEN not in str(caught.value)


def test_the_lake_of_a_project_is_that_of_its_environment_or_of_the_command_line(root, monkeypatch):
    assert lake_of().root == str(root / ".lake")
    monkeypatch.chdir(root / "jobs")
    assert lake_of(lake="here").root == str(root / "jobs/here")


def test_the_code_of_a_job_is_loaded(root):
    code(root, "def transform(orders):\n    return orders\n")
    assert prepare("x").transform("as it came") == "as it came"


@pytest.mark.usefixtures("root")
def test_a_job_without_code_has_no_transform():
    assert prepare("x").transform is None


@pytest.mark.parametrize("statement", ["raise SystemExit(0)", "import not_there_at_all", "1 / 0"])
def test_code_that_cannot_be_imported_is_a_typed_error(root, statement):
    code(root, f"{statement}\ndef transform(orders): ...\n")
    with pytest.raises(
        ConfigError, match=r"^jobs/x.py:1: it cannot be imported: (SystemExit|ModuleNotFoundError|ZeroDivisionError)"
    ):
        prepare("x")


def test_the_name_of_an_environment_is_no_secret(root, monkeypatch):
    monkeypatch.setenv("LAKEHOUSE_PLACE", "local")
    environment(root, "lake: .lake\nparams: {landing: '${env:LAKEHOUSE_PLACE}'}\n")
    prepare("x")
    environment(root, "lak: .lake\n")
    with pytest.raises(ConfigError, match=r"^conf/env/local.yaml:1:"):
        prepare("x")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise TypeError(f'bad status {VALUE}')", "jobs/x.py:3: it cannot be imported: TypeError: bad status ***"),
        ("raise OSError(\n  VALUE)", "jobs/x.py:3: it cannot be imported: OSError: ***"),
        ("{}[VALUE]", "jobs/x.py:3: it cannot be imported: KeyError: ***"),
        ("len(5)", "jobs/x.py:3: it cannot be imported: TypeError: object of type 'int' has no len()"),
        ("def f(:", "jobs/x.py: it cannot be imported: SyntaxError: invalid syntax (x.py, line 3)"),
    ],
)
def test_what_code_raises_shows_its_own_words_and_no_value(root, body, words):
    code(root, f"VALUE = '{HIDDEN[::-1]}'[::-1]\n\n{body}\n")
    with pytest.raises(ConfigError) as raised:
        load_transform(Project(root), "x")
    assert raised.value.message == words


@pytest.mark.parametrize("made", ["lambda wrong: wrong", "5"])
def test_a_transform_that_only_its_import_shows_is_held_against_the_sources_too(root, made):
    code(root, f"transform = {made}\n")
    with pytest.raises(TransformMismatchError):
        prepare("x")


def test_a_transform_that_is_given_stands_in_for_the_code(root):
    code(root, "raise SystemExit(0)\ndef transform(orders): ...\n")

    class Given:
        def __call__(self, orders):
            return orders

    given = Given()
    assert prepare("x", transform=given).transform is given
    with pytest.raises(TransformMismatchError, match=r"x: transform\(wrong\) does not match the sources \(orders\)"):
        prepare("x", transform=lambda wrong: wrong)


@pytest.mark.usefixtures("root")
def test_every_run_has_an_id_of_its_own():
    assert prepare("x").run_id != prepare("x").run_id


OTHER = """\
job: y
about: a
sources:
  o: {{kind: files, path: "${{param:in}}", {said}}}
params: {{in: landing}}
write: {{table: bronze.y, mode: append}}
"""


@pytest.mark.parametrize(
    ("said", "path", "meets"),
    [
        ('pattern: "*"', "landing/b", True),
        ('pattern: "a*.csv"', "landing", True),
        ('pattern: "*.csv"', "landing/b/c", True),
        ('pattern: "*.json"', "landing/b", False),
        ('pattern: "b[12]*"', "landing/b", False),
        ('pattern: "*"', "landing/bb", False),
        ('pattern: "*"', "${env:NOWHERE}", False),
    ],
)
def test_files_that_another_job_reads_are_not_moved_away(tmp_path, said, path, meets):
    (tmp_path / "conf/env").mkdir(parents=True)
    (tmp_path / "conf/env/local.yaml").write_text("lake: lake\n")
    text = OTHER.format(said='pattern: "a_*.csv", archive_to: done').replace("job: y", "job: x").replace(".y,", ".x,")
    (tmp_path / "conf/x.yaml").write_text(text.replace("in: landing", "in: landing/b"))
    (tmp_path / "conf/y.yaml").write_text(OTHER.format(said=said).replace("in: landing", f"in: '{path}'"))
    (tmp_path / "conf/broken.yaml").write_text("job: z\n")
    if meets:
        with pytest.raises(ConfigError, match=r"archive_to: conf/y.yaml, sources.o reads the same files"):
            prepare("x", root=tmp_path)
    else:
        assert prepare("x", root=tmp_path).folders["o.archive_to"] == str(tmp_path / "done")
    assert prepare("y", root=tmp_path, params={"in": "elsewhere"}).folders
