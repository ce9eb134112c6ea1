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
from lakehouse.runtime.doctor import examine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ALWAYS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.databricks.delta.commit.idempotencyCheck.enabled": "true",
    # Delta's own is 10,000,000: a run that tries again itself waits in between, and says so
    "spark.databricks.delta.maxCommitAttempts": "100",
}
"""What the meaning of a job depends on, wherever it runs."""


def start(name: str, settings: Mapping[str, str]) -> SparkSession:
    """The running session, or a new one with these settings.

    Raises:
        SetupError: Spark cannot start on this machine; the message is the doctor's.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    # pyspark and py4j write the stack of every error to stderr, also of those that are looked for
    for noisy in ("SQLQueryContextLogger", "py4j.clientserver"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    builder = SparkSession.builder.appName(name)
    for key, value in settings.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except (PySparkException, OSError) as error:
        for finding in examine():
            if not finding.ok:
                kinds = {kind.code: kind for kind in SetupError.__subclasses__()}
                message = f"Spark cannot start: {finding.name}: {finding.detail}"
                raise kinds.get(finding.code, SetupError)(message, hint=finding.mend) from error
        raise


@contextmanager
def settled(spark: SparkSession, settings: Mapping[str, str]) -> Iterator[SparkSession]:
    """The session with what a job's meaning depends on, and with the environment's settings; as it was, afterwards."""
    wanted = {**settings, **_ALWAYS}
    with having(spark, {key: wanted[key] for key in wanted if key in _ALWAYS or spark.conf.isModifiable(key)}):
        yield spark


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
