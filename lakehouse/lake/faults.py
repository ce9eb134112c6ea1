"""What exceptions of Spark, Delta, Java and the system mean, in this library's words: the one place that knows them."""

from __future__ import annotations

import errno
import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.errors import PythonException

from lakehouse.errors import (
    BatchConflictError,
    ExpressionError,
    LakehouseError,
    StorageDeniedError,
    StorageFullError,
    StorageUnavailableError,
    TableChangedError,
    TableUnreadableError,
    TableUnsupportedError,
    UnexpectedError,
    WriteConflictError,
    first_line,
)
from lakehouse.foreign import UNSAID, ask, end_of_condition, without_values

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFLICTS: dict[str, type[LakehouseError]] = {
    r"DELTA_CONCURRENT_TRANSACTION|ConcurrentTransactionException": BatchConflictError,
    r"DELTA_METADATA_CHANGED|MetadataChangedException": TableChangedError,
    r"DELTA_PROTOCOL_CHANGED|ProtocolChangedException": TableChangedError,
    (
        r"DELTA_CONCURRENT|DELTA_MAX_COMMIT_RETRIES_EXCEEDED"
        r"|Concurrent(Write|Append|DeleteRead|DeleteDelete)Exception|DeltaConcurrentModificationException"
    ): WriteConflictError,
}

_TABLES: dict[str, type[LakehouseError]] = {
    r"DELTA_UNSUPPORTED_FEATURES_FOR|DELTA_INVALID_PROTOCOL_VERSION|InvalidProtocolVersionException": (
        TableUnsupportedError
    ),
    (
        r"DELTA_VERSIONS_NOT_CONTIGUOUS|DELTA_TRUNCATED_TRANSACTION_LOG|DELTA_LOG_FILE_NOT_FOUND|DELTA_FILE_NOT_FOUND"
        r"|DELTA_STATE_RECOVER_ERROR|DELTA_MISSING_(PART|TRANSACTION)|DELTA_NO_RECREATABLE_HISTORY"
        r"|DELTA_SCHEMA_NOT_SET|DELTA_READ_TABLE_WITHOUT_COLUMNS|DELTA_DELETION_VECTOR_|FAILED_READ_FILE\.FILE_NOT_EXIST"
    ): TableUnreadableError,
}
"""What says that a table is not whole, or too new: of files of a source, those who read them know more."""

_STORAGE: dict[str, type[LakehouseError]] = {
    r"No space left on device|Disk quota exceeded|QuotaExceededException|\bENOSPC\b": StorageFullError,
    (
        r"\(Permission denied\)|: Permission denied\b|Read-only file system|Operation not permitted"
        r"|Access(Control|Denied)Exception|AccessDenied\b|Mkdirs failed to create"
    ): StorageDeniedError,
    (
        r"\.SocketTimeoutException|\.ConnectException|\.NoRouteToHostException|\.UnknownHostException"
        r"|ConnectTimeoutException|\.NoHttpResponseException|ConnectionPoolTimeoutException|Connection reset"
        r"|ApiCallTimeout|SlowDown\b|Status Code: 50[0-4]\b"
    ): StorageUnavailableError,
}

_SYSTEM: dict[int, type[LakehouseError]] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), StorageFullError),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), StorageDeniedError),
    **dict.fromkeys((errno.ETIMEDOUT, errno.ESTALE, errno.EIO), StorageUnavailableError),
}

_HERE = Path(__file__).parents[1]

_SPARK = {"pyspark", "py4j", "delta"}

_HINTS: dict[type[LakehouseError], str] = {
    WriteConflictError: "run it again when less is written: it goes on where it was",
    TableChangedError: "run it again: it takes the table as it is now",
    BatchConflictError: "another runner of the job, on another machine or on a copy of its checkpoint: end one of them",
    TableUnsupportedError: "upgrade delta-spark, or let whoever writes the table drop the feature",
    TableUnreadableError: "restore what is gone from a backup; a table that a job here makes, with --full-refresh",
    StorageFullError: "make room below the lake, or in Spark's scratch folder (spark.local.dir), and run it again",
    StorageDeniedError: "give the user that runs the job the right to read and write there",
    StorageUnavailableError: "run it again: the log of the table says whether the batch was committed",
}


def typed(error: BaseException, what: str = "") -> LakehouseError:
    """The error as one of ours, whatever it is; ``what`` failed, where the error does not say it."""
    if isinstance(error, LakehouseError):
        return error
    found = known(error) or _by_state(error, what)
    found.__cause__ = error
    return found


def is_of_values(error: BaseException) -> bool:
    """Whether an expression failed on a value: by the SQL state that Spark gives, a data exception or one raised."""
    return str(ask(error, "getSqlState"))[:2] in ("22", "P0")


def _by_state(error: BaseException, what: str) -> LakehouseError:
    message = f"{what}{': ' * bool(what)}{type(error).__name__}: {first_line(error)}"
    if is_of_values(error):
        hint = "say what such a value means, with try_cast(), try_to_timestamp(), try_divide(), nullif() and the like"
        return ExpressionError(message, hint=hint)
    if frames := [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename).is_relative_to(_HERE)]:
        message += f" (in {Path(frames[-1].filename).relative_to(_HERE.parent)}:{frames[-1].lineno})"
    return UnexpectedError(message, hint="a fault of this library, of Spark or of the machine: please report it")


def known(error: BaseException) -> LakehouseError | None:
    """What an exception means, if it is a conflict or a fault of the storage: the innermost cause counts."""
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        return build(_SYSTEM[error.errno], f"{error.strerror}: {error.filename or ''}".rstrip(": "))
    return None if is_of_values(error) else classify_text("\n".join(_told(error)))


def classify_text(text: str) -> LakehouseError | None:
    """What the words of Spark mean, its stack among them, if they tell of a conflict or of the storage.

    A value of a row means nothing: it is left out before anything is looked for.
    """
    lines = list(_without_values(text))
    for words, kind in {**_CONFLICTS, **_TABLES, **_STORAGE}.items():
        # what has a condition is what the condition says, whatever else stands behind it
        if said := [line for line in lines if re.search(words, line[: end_of_condition(line)])]:
            return build(kind, said[-1][:300])
    return None


def _without_values(text: str) -> Iterator[str]:
    """The lines of exceptions in a text, as they may be shown."""
    is_value = False
    for line in map(str.strip, text.splitlines()):
        # the places in the code are named after what they may throw
        is_place = line.startswith("at ")
        if is_place or line.startswith("Caused by: "):
            is_value = False
        if is_place or is_value:
            continue
        shown = without_values(line.removeprefix("Caused by: "))
        # a value may go on in the lines below
        is_value = shown.endswith(UNSAID)
        yield shown


def is_conflict(error: BaseException) -> bool:
    """Whether Delta refused a commit for what another one did meanwhile."""
    return isinstance(known(error), (WriteConflictError, TableChangedError, BatchConflictError))


def build(kind: type[LakehouseError], message: str) -> LakehouseError:
    """An error of a kind that is known here, with its hint."""
    return kind(message, hint=_HINTS[kind])


def _told(error: BaseException | None) -> Iterator[str]:
    """All that Spark says of an error and its causes, with the stacks of Java, which it may keep apart.

    Code of a job may say anything, so that what it raises itself means nothing.
    """
    while error is not None and not isinstance(error, PythonException):
        if type(error).__module__.split(".")[0] in _SPARK:
            yield f"{type(error).__name__}: {error}"
            # of classic Spark and of Spark Connect
            yield str(getattr(error, "_stackTrace", None) or getattr(error, "_stacktrace", None) or "")
        error = error.__cause__
