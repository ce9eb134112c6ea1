"""The Spark session: the only place where one is built."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from lakehouse.errors import ConfigError, SetupError
from lakehouse.runtime.defaults import AVRO_LIMITS
from lakehouse.runtime.doctor import examine
from lakehouse.spec.settings import FIXED, UNSET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ALWAYS = {
    **{
        key: FIXED[key].value
        for key in (
            "spark.sql.session.timeZone",
            "spark.sql.ansi.enabled",
            "spark.sql.variable.substitute",
            "spark.databricks.delta.commit.idempotencyCheck.enabled",
            "spark.sql.parquet.outputTimestampType",
        )
    },
    # Delta's own is 10,000,000: a run that tries again itself waits in between, and says so
    "spark.databricks.delta.maxCommitAttempts": "100",
}
"""What is set in every session, wherever it runs; of the others in ``FIXED`` Spark's own default is right."""


_NOISY = ("SQLQueryContextLogger", "DataFrameQueryContextLogger", "py4j.clientserver", "py4j.java_gateway")


def start(name: str, settings: Mapping[str, str]) -> SparkSession:
    """The running session, or a new one with these settings.

    Raises:
        SetupError: Spark cannot start on this machine; the message is the doctor's.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    quiet()
    builder = SparkSession.builder.appName(name)
    for key, value in settings.items():
        builder = builder.config(key, value)
    try:
        spark = builder.getOrCreate()
    except (PySparkException, OSError) as error:
        for finding in examine():
            if not finding.ok:
                kinds = {kind.code: kind for kind in SetupError.__subclasses__()}
                message = f"Spark cannot start: {finding.name}: {finding.detail}"
                raise kinds.get(finding.code, SetupError)(message, hint=finding.mend) from error
        raise
    # what is asked of it outside of a job, too, holds names that other people gave
    spark.conf.set("spark.sql.variable.substitute", "false")
    _prepare_java(spark)
    return spark


def _prepare_java(spark: SparkSession) -> None:
    """Let no language of the machine decide what upper and lower case are: in Turkish İ is the capital of i.

    And let no length that an Avro file claims make room for itself: Avro looks at these properties when it first reads.
    Neither is put back: jobs of other threads may run in the same Java.
    """
    try:
        java = spark._jvm
    except (AttributeError, PySparkException):
        # a session of Connect is on a machine of somebody else's
        return
    if java is not None:
        java.java.util.Locale.setDefault(java.java.util.Locale.ROOT)
        for name, most in AVRO_LIMITS.items():
            if java.java.lang.System.getProperty(name) is None:
                java.java.lang.System.setProperty(name, most)


def quiet() -> None:
    """Keep pyspark and py4j from writing the stack of every error to stderr, with the values in it."""
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


@contextmanager
def settled(spark: SparkSession, settings: Mapping[str, str]) -> Iterator[SparkSession]:
    """The session with what a job's meaning depends on, and with the environment's settings; as it was, afterwards."""
    # a session of a notebook was not started here
    quiet()
    _prepare_java(spark)
    own = {key: value for key, value in settings.items() if key not in FIXED and spark.conf.isModifiable(key)}
    # one question instead of one for each: a session is often on another machine
    chosen = spark.conf.getAll
    others = {key: fixed.value for key, fixed in FIXED.items() if chosen.get(key, fixed.value) != fixed.value}
    foreign = {key: chosen[key] for key in UNSET if key in chosen}
    for key in foreign:
        spark.conf.unset(key)
    try:
        with having(spark, {**own, **others, **_ALWAYS}):
            yield spark
    finally:
        for key, value in foreign.items():
            spark.conf.set(key, value)


@contextmanager
def having(spark: SparkSession, settings: Mapping[str, str]) -> Iterator[None]:
    """The session with these settings; as it was, afterwards."""
    before: dict[str, str | None] = {}
    try:
        for key, value in settings.items():
            before[key] = spark.conf.get(key, None)
            _set(spark, key, value)
        yield
    finally:
        for key, old in before.items():
            if old is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, old)


def _set(spark: SparkSession, key: str, value: str) -> None:
    try:
        spark.conf.set(key, value)
    except Exception:
        # the value may be a secret, and Spark's message holds it
        message = f"spark.{key.removeprefix('spark.')}: Spark does not take the value"
        raise ConfigError(message, hint="look at spark: in conf/env/<name>.yaml") from None
