"""A run tries again what may pass: which errors, how long it waits, and that nothing is counted or written twice."""

from __future__ import annotations

import errno
import json
import threading
import time

import pytest
from pyspark.errors import NumberFormatException
from pyspark.sql import functions as F

from lakehouse.errors import (
    BatchConflictError,
    CheckpointError,
    ConfigError,
    ImbalanceError,
    LakehouseError,
    LockedError,
    QualityGateError,
    SourceUnavailableError,
    StorageDeniedError,
    StorageFullError,
    StorageUnavailableError,
    TableChangedError,
    TransformError,
    WriteConflictError,
)
from lakehouse.lake.faults import classify_text, known, typed
from lakehouse.lake.storage import local
from lakehouse.runtime.attempts import persistently
from lakehouse.runtime.runner import execute
from lakehouse.runtime.workplace import prepare
from lakehouse.spec.failures import Retry, seconds
from lakehouse.write import change, commit

QUICK = Retry(max_attempts=3, initial_backoff="1 millisecond", max_backoff="2 milliseconds")


def tried(*errors, retry=QUICK, stop=None, came=()):
    """What was raised at the end, how many attempts there were, and what was told of them."""
    left, made, told = list(errors), [], []

    def action():
        made.append(1)
        if left and (error := left.pop(0)):
            raise error

    try:
        persistently(
            action,
            retry,
            stop=stop or threading.Event(),
            progress=lambda: sum(number <= len(made) for number in came),
            tell=told.append,
        )
    except LakehouseError as error:
        return error, len(made), told
    return None, len(made), told


def test_what_may_pass_is_tried_again_and_told():
    error, attempts, told = tried(WriteConflictError("one"), SourceUnavailableError("two"))
    assert (error, attempts) == (None, 3)
    assert [(one.error.message, one.attempt, one.of) for one in told] == [("one", 1, 3), ("two", 2, 3)]
    assert all(0 <= one.waits <= 0.002 for one in told)


def test_after_the_last_attempt_the_error_is_the_runs():
    error, attempts, told = tried(*[WriteConflictError(str(number)) for number in range(5)])
    assert (error.message, attempts, len(told)) == ("2", 3, 2)


@pytest.mark.parametrize(
    "error",
    [
        LockedError("another runner"),
        ConfigError("no such column"),
        TransformError("it raised"),
        QualityGateError("a rule"),
        ImbalanceError("one row too few"),
        CheckpointError("an older copy"),
        StorageFullError("full"),
        StorageDeniedError("no right"),
        LakehouseError("whatever"),
    ],
    ids=lambda error: error.code,
)
def test_what_will_not_pass_by_itself_is_raised_at_once(error):
    assert tried(error) == (error, 1, [])


@pytest.mark.parametrize("kind", [TableChangedError, BatchConflictError], ids=lambda kind: kind.code)
def test_a_changed_table_and_a_second_runner_are_met_with_one_more_attempt(kind):
    assert tried(kind("1"))[:2] == (None, 2)
    error, attempts, _ = tried(kind("1"), kind("2"), retry=Retry(max_attempts=9, initial_backoff="1 millisecond"))
    assert (error.message, attempts) == ("2", 2)


def test_a_batch_that_came_through_begins_the_count_anew():
    errors = [WriteConflictError(str(number)) for number in range(5)]
    error, attempts, told = tried(*errors, came=(2, 4))
    assert (error, attempts) == (None, 6)
    assert [one.attempt for one in told] == [1, 1, 2, 1, 2]


def test_the_waits_are_drawn_from_a_bound_that_doubles():
    def draw(_):
        retry = Retry(max_attempts=6, initial_backoff="4 milliseconds", max_backoff="10 milliseconds")
        return [one.waits for one in tried(*[WriteConflictError("x")] * 6, retry=retry)[2]]

    waits = list(zip(*map(draw, range(12)), strict=True))
    assert [max(column) <= bound for column, bound in zip(waits, (0.004, 0.008, 0.01, 0.01, 0.01), strict=True)] == [
        True
    ] * 5
    assert max(waits[3]) > 0.004
    assert len(set(waits[4])) > 1


def test_a_run_that_is_told_to_stop_waits_no_longer_and_ends_as_it_failed():
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    begin = time.monotonic()
    retry = Retry(max_attempts=5, initial_backoff="1 hour", max_backoff="1 hour")
    error, attempts, told = tried(WriteConflictError("busy"), retry=retry, stop=stop)
    assert (error.message, attempts, len(told)) == ("busy", 1, 1)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "io.delta.exceptions.ConcurrentAppendException: [DELTA_CONCURRENT_APPEND.WITHOUT_HINT] Transaction conflict "
            "detected. a concurrent WRITE added data to table delta.`file:/t` committed at version 1.",
            WriteConflictError,
        ),
        ("io.delta.exceptions.ConcurrentDeleteReadException: [DELTA_CONCURRENT_DELETE_READ] x", WriteConflictError),
        ("io.delta.exceptions.ConcurrentDeleteDeleteException: [DELTA_CONCURRENT_DELETE_DELETE] x", WriteConflictError),
        ("io.delta.exceptions.ConcurrentWriteException: [DELTA_CONCURRENT_WRITE] x", WriteConflictError),
        ("[DELTA_MAX_COMMIT_RETRIES_EXCEEDED] This commit has failed as it has been tried 101 times", WriteConflictError),
        ("io.delta.exceptions.MetadataChangedException: [DELTA_METADATA_CHANGED] x", TableChangedError),
        ("io.delta.exceptions.ProtocolChangedException: [DELTA_PROTOCOL_CHANGED] x", TableChangedError),
        ("io.delta.exceptions.ConcurrentTransactionException: [DELTA_CONCURRENT_TRANSACTION] x", BatchConflictError),
        (
            "org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows to file:/t\n"
            "\tat org.apache.spark.sql.X.y(X.scala:1)\n"
            "Caused by: org.apache.hadoop.fs.FSError: java.io.IOException: No space left on device\n"
            "Caused by: java.io.IOException: No space left on device",
            StorageFullError,
        ),
        ("java.io.IOException: Disk quota exceeded", StorageFullError),
        ("java.io.FileNotFoundException: /lake/t/_delta_log/.0.json.tmp (Permission denied)", StorageDeniedError),
        ("java.io.FileNotFoundException: /lake/t/part-0.parquet (Read-only file system)", StorageDeniedError),
        ("org.apache.hadoop.security.AccessControlException: Permission denied: user=x", StorageDeniedError),
        ("java.nio.file.AccessDeniedException: s3a://b/k: getFileStatus on s3a://b/k: 403", StorageDeniedError),
        ("java.io.IOException: Mkdirs failed to create file:/lake/t (exists=false, cwd=file:/)", StorageDeniedError),
        ("Caused by: java.net.SocketTimeoutException: Read timed out", StorageUnavailableError),
        ("software.amazon.awssdk.services.s3.model.S3Exception: SlowDown (Service: S3, Status Code: 503", StorageUnavailableError),
        ("java.util.ConcurrentModificationException: KafkaConsumer is not safe for multi-threaded access", None),
        ("java.lang.ArithmeticException: / by zero\n\tat x.AccessDeniedException.y(Z.java:1)", None),
        ("[CAST_INVALID_INPUT] The value 'x' of the type STRING cannot be cast to BIGINT", None),
        # a value of a row may say anything, and on any line
        ("x.E: [CAST_INVALID_INPUT] The value 'a@x.com: Connection reset' of the type STRING", None),
        ("x.E: [CAST_INVALID_INPUT] The value 'a@x.com\nConnection reset' of the type STRING", None),
        ('java.lang.NumberFormatException: For input string: "a@x.com: Connection reset"', None),
        ("x.E: [DELTA_INVALID_CHARACTERS] `a@x.com: Connection reset`", None),
        (
            "[STREAM_FAILED] Query [id = 1, runId = 2] terminated with exception: [DELTA_CONCURRENT_WRITE] a",
            WriteConflictError,
        ),
    ],
)  # fmt: skip
def test_what_delta_and_java_say_is_told_by_its_innermost_cause(text, kind):
    found = classify_text(text)
    assert type(found) is (kind or type(None))
    if found:
        assert found.hint
        assert not found.message.startswith("Caused by")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageFullError),
        (errno.EACCES, StorageDeniedError),
        (errno.EROFS, StorageDeniedError),
        (errno.ESTALE, StorageUnavailableError),
    ],
)
def test_what_the_system_says_is_told_with_the_file(number, kind):
    found = known(OSError(number, "it says so", "/lake/x"))
    assert (type(found), found.message) == (kind, "it says so: /lake/x")


def test_a_value_that_an_expression_failed_on_means_nothing_and_is_not_shown():
    error = NumberFormatException("[CAST_INVALID_INPUT] The value 'a@x.com\nCaused by: Connection reset'", {}, {})
    error.getSqlState = lambda: "22018"
    assert known(error) is None
    assert (typed(error).code, typed(error).retryable) == ("EXPRESSION_FAILED", False)
    assert "a@x.com" not in str(typed(error))


def test_what_a_jobs_own_code_says_means_nothing():
    assert known(RuntimeError("No space left on device")) is None
    assert typed(RuntimeError("No space left on device")).message == "RuntimeError: No space left on device"


def test_deltas_own_attempts_have_an_end(spark):
    assert int(spark.conf.get("spark.databricks.delta.maxCommitAttempts")) <= 100


def test_a_duration_is_in_seconds():
    assert [seconds(text) for text in ("500 milliseconds", "1 second", "2 minutes", "1 hour")] == [0.5, 1, 120, 3600]


JOB = """
retry: {initial_backoff: 1 millisecond, max_backoff: 1 millisecond}
sources:
  orders: {kind: files, path: "${param:landing}/orders", max_files: 1}
write: {table: silver.orders, mode: scd1, keys: id, sequence_by: at, strategy: merge}
"""
"""Each file a batch of its own."""


def told(workshop, *columns):
    """The ledger, from the oldest."""
    return [tuple(row) for row in workshop.frame("ops.runs").orderBy("ended_at").select(*columns).collect()]


@pytest.fixture
def run(workshop):
    """Run the job in the place of its transform, and say how it went."""

    def go(transform, **options):
        params = {"landing": str(workshop.landing)}
        work = prepare("orders", lake=str(workshop.folder), params=params, transform=transform, root=workshop.project)
        return execute(work, spark=workshop.spark, **options)

    workshop.job("orders", JOB)
    workshop.land("orders/1.csv", "id,v,at\na,1,1\nb,1,1\n")
    return go


@pytest.fixture
def meeting(monkeypatch):
    """While the first MERGE reads the table, another writer deletes the first of its files: as Delta's protocol says.

    What does it is a function of Python that the MERGE itself calls, for a row that it brings.
    """
    merge = change.merge

    def met(rows, target, options, **how):
        log = local(target.path) / "_delta_log"
        newest = max(int(path.stem) for path in log.glob("*.json"))
        theirs, first = log / f"{newest + 1:020d}.json", log / f"{1:020d}.json"
        add = next(json.loads(line)["add"] for line in first.read_text().splitlines() if line.startswith('{"add"'))
        remove = {"path": add["path"], "deletionTimestamp": add["modificationTime"], "dataChange": True}
        info = {"timestamp": add["modificationTime"], "operation": "DELETE", "operationParameters": {}}
        text = json.dumps({"commitInfo": info}) + "\n" + json.dumps({"remove": remove}) + "\n"

        @F.udf("string")
        def slow(value):
            theirs.write_text(text)
            return value

        monkeypatch.setattr(change, "merge", merge)
        merge(rows.withColumn("v", slow("v")), target, options, **how)

    monkeypatch.setattr(change, "merge", met)


def test_a_batch_that_met_another_writer_is_planned_again_on_what_that_one_left(workshop, run, request):
    run(lambda orders: orders)
    workshop.land("orders/2.csv", "id,v,at\na,3,3\nd,3,3\n")
    request.getfixturevalue("meeting")
    warned = []
    result = run(lambda orders: orders, warn=warned.append)
    assert (result.status, result.batches, result.rows.read) == ("done", 1, 2)
    # the key that was there at the first attempt is not there any more
    assert (result.rows.inserted, result.rows.updated) == (2, 0)
    assert workshop.rows("silver.orders", "id", "v") == [("a", "3"), ("d", "3")]
    assert [(type(one.error), one.attempt) for one in warned] == [(WriteConflictError, 1)]
    assert told(workshop, "event", "status", "batch", "error_code") == [
        ("batch", "done", 0, None),
        ("run", "done", None, None),
        ("retry", "failed", None, "WRITE_CONFLICT"),
        ("batch", "done", 1, None),
        ("run", "done", None, None),
    ]


@pytest.fixture
def unanswered(monkeypatch):
    """The first commit is made, and its answer is lost."""
    read_back, lost = commit._read_back, []

    def lose(spark, plan):
        if not lost:
            lost.append(1)
            raise StorageUnavailableError("no answer to the commit")
        return read_back(spark, plan)

    monkeypatch.setattr(commit, "_read_back", lose)


@pytest.mark.usefixtures("unanswered")
def test_a_batch_whose_commit_was_made_and_not_told_is_recognised_by_the_log(workshop, run):
    result = run(lambda orders: orders)
    assert (result.status, result.batches, result.rows.read, result.rows.inserted) == ("done", 1, 2, 2)
    assert workshop.version("silver.orders") == 1
    assert told(workshop, "event", "status", "inserted") == [
        ("retry", "failed", 0),
        ("batch", "replayed", 2),
        ("run", "done", 2),
    ]


@pytest.mark.usefixtures("unanswered")
def test_so_is_the_one_batch_of_a_job_without_an_incremental_source(workshop):
    workshop.put("bronze.orders", "id string, v int", [("a", 1)])
    quick = "retry: {initial_backoff: 1 millisecond}\n"
    workshop.job(
        "gold",
        quick + "sources: {orders: {kind: table, table: bronze.orders}}\nwrite: {table: gold.t, mode: overwrite}",
    )
    result = workshop.run("gold")
    assert (result.batches, result.rows.inserted, workshop.rows("gold.t")) == (1, 1, [("a", 1)])
    assert told(workshop, "event", "status") == [("retry", "failed"), ("batch", "replayed"), ("run", "done")]
