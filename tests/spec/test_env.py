"""Environments: what a place may set, and how one is chosen."""

from __future__ import annotations

import pytest

from lakehouse.errors import ConfigError
from lakehouse.spec.project import Project
from lakehouse.spec.settings import FIXED, UNSET


@pytest.mark.parametrize(
    "setting",
    [
        "spark.sql.shuffle.partitions: 2",
        "spark.sql.adaptive.enabled: false",
        "spark.memory.fraction: 0.6",
        "spark.driver.memory: 2g",
        "spark.master: local[2]",
        "spark.databricks.delta.snapshotPartitions: 2",
        "spark.hadoop.fs.s3a.endpoint: http://localhost:5000",
        "spark.hadoop.fs.azure.account.key.acmestaging.dfs.core.windows.net: x",
        "spark.hadoop.fs.s3a.bucket.acme-staging.access.key: x",
        "spark.hadoop.fs.s3a.bucket.acme.committer.access.key: x",
        "spark.hadoop.fs.s3a.bucket.acme.catalog.endpoint: x",
        "spark.hadoop.fs.s3a.bucket.acme-catalog.access.key: x",
        "spark.hadoop.fs.s3a.bucket.jars.provider.logstore.endpoint: x",
        "spark.hadoop.fs.azure.account.key.acmeprovider.dfs.core.windows.net: x",
        "spark.hadoop.fs.azure.account.auth.type.catalog1.dfs.core.windows.net: x",
        "spark.hadoop.fs.s3a.secret.key: '${env:SECRET_KEY}'",
        "spark.dynamicAllocation.enabled: true",
    ],
)
def test_a_setting_of_size_speed_or_storage_is_taken(folder, setting):
    assert folder.env(f"lake: .lake\nspark:\n  {setting}\n").spark


@pytest.mark.parametrize(
    "setting",
    [
        "spark.driver.extraJavaOptions",
        "spark.executor.extraJavaOptions",
        "spark.driver.extraClassPath",
        "spark.jars",
        "spark.jars.packages",
        "spark.submit.pyFiles",
        "spark.plugins",
        "spark.extraListeners",
        "spark.sql.extensions",
        "spark.sql.catalog.spark_catalog",
        "spark.sql.queryExecutionListeners",
        "spark.sql.streaming.streamingQueryListeners",
        "spark.sql.streaming.stateStore.providerClass",
        "spark.sql.hive.metastore.jars",
        "spark.sql.hive.metastore.jars.path",
        "spark.sql.cache.serializer",
        "spark.shuffle.manager",
        "spark.ui.filters",
        "spark.pyspark.python",
        "spark.hadoop.fs.s3a.impl",
        "spark.hadoop.fs.s3a.aws.credentials.provider",
        "spark.hadoop.fs.azure.account.oauth.provider.type.x",
        "spark.hadoop.fs.azure.account.oauth.provider.type.acme.dfs.core.windows.net",
        "spark.hadoop.fs.azure.account.keyprovider.acme.dfs.core.windows.net",
        "spark.hadoop.fs.azure.sas.token.provider.type",
        "spark.hadoop.fs.s3a.bucket.acme-catalog.aws.credentials.provider",
        "spark.hadoop.fs.s3a.bucket.acme.aws.credentials.provider.mapping",
        "spark.hadoop.fs.s3a.bucket.acme.custom.signers",
        "spark.hadoop.fs.s3a.custom.signers",
        "spark.hadoop.fs.s3a.audit.request.handlers",
        "spark.hadoop.fs.s3a.audit.execution.interceptors",
        "spark.hadoop.fs.s3a.audit.service.classname",
        "spark.hadoop.fs.s3a.input.stream.custom.factory",
        "spark.hadoop.fs.s3a.encryption.cse.custom.keyring.class.name",
        "spark.hadoop.fs.s3a.bucket.acme.s3.client.factory.impl",
        "spark.sql.catalog.acme.catalog-impl",
        "spark.serializer",
        "spark.anything",
        "sql.shuffle.partitions",
    ],
)
def test_a_setting_that_can_load_code_or_is_unknown_is_refused_at_its_line(folder, setting):
    [problem] = folder.env_problems(f"lake: .lake\nspark:\n  {setting}: x\n")
    assert problem.startswith(f"conf/env/local.yaml:3:3: spark.{setting}: '{setting}' cannot be set by configuration")


@pytest.mark.parametrize(
    "setting", [*FIXED, *UNSET, "spark.sql.legacy.sizeOfNull", "spark.sql.avro.datetimeRebaseModeInWrite"]
)
def test_a_setting_that_changes_what_a_row_or_a_value_is_is_refused_with_its_reason(folder, setting):
    [problem] = folder.env_problems(f"lake: .lake\nspark:\n  {setting}: true\n")
    assert problem.startswith(f"conf/env/local.yaml:3:3: spark.{setting}: '{setting}' ")
    assert problem.endswith("; leave it out")


def test_a_setting_that_is_no_scalar_is_told_once(folder):
    [problem] = folder.env_problems("lake: .lake\nspark:\n  spark.sql.x: [1]\n")
    assert problem == ("conf/env/local.yaml:3:16: spark.spark.sql.x: expected text, a number, or true or false")


def test_all_faults_of_an_environment_are_told_at_once(folder):
    problems = folder.env_problems("lkae: .lake\nroots: /data\ncatalog: a b\nparams: {a: 1}\n")
    assert [problem.split(": ")[0] for problem in problems] == [
        "conf/env/local.yaml:1:1",
        "conf/env/local.yaml:1:1",
        "conf/env/local.yaml:2:8",
        "conf/env/local.yaml:3:10",
        "conf/env/local.yaml:4:13",
    ]
    assert any("lkae: unknown key; did you mean 'lake'?" in problem for problem in problems)


def test_an_empty_lake_is_refused(folder):
    [problem] = folder.env_problems("lake: ''\n")
    assert "lake: string should have at least 1 character" in problem


def test_an_unknown_environment_brings_the_nearest_one(folder):
    folder.write("conf/env/prod.yaml", "lake: s3://lake\n")
    with pytest.raises(ConfigError, match=r"no environment 'prd' in .*; did you mean 'prod'") as caught:
        Project(folder.root).env("prd")
    assert "LAKEHOUSE_ENV" in caught.value.hint


def test_a_name_chooses_an_environment_before_the_variable_and_that_before_local(folder, monkeypatch):
    for name in ("local", "test", "prod"):
        folder.write(f"conf/env/{name}.yaml", f"lake: {name}\n")
    project = Project(folder.root)
    assert project.env().lake == "local"
    monkeypatch.setenv("LAKEHOUSE_ENV", "test")
    assert project.env().lake == "test"
    assert project.env("prod").lake == "prod"


@pytest.mark.parametrize("name", ["../x", "../../outside", "a" * 5000, "x/../local"])
def test_a_name_cannot_lead_out_of_the_environments(folder, name):
    folder.write("conf/env/local.yaml", "lake: a\n")
    folder.write("conf/x.yaml", "lake: a\n")
    (folder.root.parent / "outside.yaml").write_text("lake: a\n")
    with pytest.raises(ConfigError, match="no environment"):
        Project(folder.root).env(name)


@pytest.mark.parametrize(
    "name",
    [
        *("spark.sql.warehouse.dir", "spark.sql.streaming.checkpointLocation", "spark.hadoop.fs.defaultFS"),
        *("spark.hadoop.fs.s3a.committer.staging.tmp.path", "spark.hadoop.fs.s3a.bucket.b.committer.name"),
        *("spark.hadoop.fs.s3a.buffer.dir", "spark.hadoop.fs.s3a.committer.name", "spark.hadoop.fs.s3a.proxy.host"),
    ],
)
def test_a_setting_that_leads_elsewhere_is_refused(folder, name):
    [problem] = folder.env_problems(f"lake: l\nspark: {{{name}: /tmp/x}}\n")
    assert "it says where Spark reads or writes" in problem
