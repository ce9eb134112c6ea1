"""Every error that this library raises on purpose.

LakehouseError
├── ConfigError                exit 2   a job, an environment or a command line that cannot be run as written
│   ├── InvalidConfigError              one or more problems in a file, each with its line
│   ├── JobNotFoundError                no such job in this project
│   ├── TransformMismatchError          the parameters of transform() are not the names of the sources
│   ├── DefinitionChangeError           the table was written by another mode, other keys or another order
│   ├── RunOrderError                   jobs that read each other's tables were to run side by side
│   └── UndefinedReferenceError                 ${env:…} or ${param:…} that nothing defines
├── SetupError                 exit 1   the machine lacks something; `lakehouse doctor --fix` mends most of them
│   ├── JavaMissingError, JavaVersionError
│   ├── JarMissingError, JarHashError
│   ├── LakeNotWritableError
│   └── ExtraMissingError               a library of an extra is not installed
├── SourceError                exit 1   what was to be read
│   ├── SourceNotFoundError, SourceEmptyError
│   ├── FileUnreadableError, FileChangedError
│   ├── FileLinkError                   links in a landing folder that cannot be left out of it
│   ├── NotDeltaError, NotAppendOnlyError, LogUnreadableError
│   ├── SourceChangedError              a table was made again, rebuilt, or lost columns
│   ├── SourceGrownError                a table got columns while it was read           retryable
│   ├── TableUnreadableError            its log has a gap, or data files are gone
│   ├── TableUnsupportedError           it needs a newer reader or writer than this one
│   ├── ReservedNameError
│   ├── RecordsLostError                records of a topic that were never read are gone
│   ├── AccessDeniedError               a server does not let us
│   ├── SourceUnavailableError          a server does not answer                        retryable
│   ├── StreamFailedError               Spark ended the stream, and says why in words that we do not know
│   └── ColumnMissingError
├── WriteError                 exit 1   what was to be written
│   ├── SchemaDriftError, TypeChangeError, LayoutChangeError, KeyMissingError
│   ├── CommitMissingError, ConstraintError
│   ├── WriteConflictError              another writer changed the table meanwhile              retryable
│   ├── TableChangedError               its columns or its protocol were changed meanwhile      retryable
│   └── BatchConflictError              another runner commits batches of this checkpoint       retryable
├── StorageError               exit 1   the storage under the tables, or under Spark's scratch files
│   ├── StorageFullError, StorageDeniedError
│   └── StorageUnavailableError         it does not answer, or not in time                      retryable
├── TransformError             exit 1   the job's own code raised
├── ExpressionError            exit 1   an expression of the job's YAML fails on a value of some row
├── UnexpectedError            exit 1   an exception that nobody here knows: a fault of this library, or of Spark
├── CheckpointError            exit 1   the checkpoint belongs to something else, or does not fit the table
├── RecoveryError              exit 1   what was asked for cannot be recovered, undone, replayed or compared
│   └── BuiltUponError                  later runs build on what was to be undone
├── OutputError                exit 1   stdout cannot be written
├── LedgerError                exit 1   what was done is done, and ops.runs cannot be told of it
├── ImbalanceError             exit 1   the counts of a batch do not add up, or differ from the commit
├── QualityGateError           exit 3   too much of a contract is broken: `on_fail: fail`, `at_most`, `min_score`
│   └── DeleteGuardError                a snapshot would delete too much
├── StoppedError               exit 5   told to stop before what was due was done            retryable
├── LockedError                exit 4   another runner holds the job                         retryable
└── HeldError                  exit 4   the job's circuit breaker is open, until `lakehouse resume`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from lakehouse.foreign import first_line as first_line
from lakehouse.foreign import innermost as innermost
from lakehouse.foreign import mask, printable


class LakehouseError(Exception):
    """Base of every error that this library raises on purpose; its words pass through ``foreign.mask``.

    Attributes:
        code: a stable name for programs, such as ``FILE_UNREADABLE``.
        hint: what to do about it, in one sentence; empty where there is nothing to say.
        retryable: whether the same run may succeed later with nothing changed by hand.
        exit_code: what the command line returns.
    """

    code: ClassVar[str] = "FAILED"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(mask(message))
        self.hint = mask(hint)

    @property
    def message(self) -> str:
        """What happened, without the hint."""
        return str(self.args[0])

    def __str__(self) -> str:
        """The message, then the hint on a line of its own."""
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class ConfigError(LakehouseError):
    """A job, an environment or a command line that cannot be run as written."""

    code = "CONFIG"
    exit_code = 2


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong in a file: where it is, what was expected, and the nearest valid name.

    Lines and columns count from 1. ``field`` is the dotted path, such as ``sources.orders.path``.
    """

    file: str
    line: int
    column: int
    field: str
    message: str

    def __str__(self) -> str:
        """``file:line:column: field: message``, as editors and terminals make it a link."""
        where = f"{self.file}:{self.line}:{self.column}"
        text = f"{where}: {self.field}: {self.message}" if self.field else f"{where}: {self.message}"
        # one problem is one line, whatever is in a name
        return text.replace("\n", "\\n")


class InvalidConfigError(ConfigError):
    """One or more problems in configuration files, all of them at once."""

    code = "CONFIG_INVALID"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(replace(one, message=mask(one.message)) for one in problems)
        super().__init__("")
        # a place and a field are names of the project's own, also where a reference stands for a part of one
        self.args = (printable("\n".join(map(str, self.problems))),)


class JobNotFoundError(ConfigError):
    """No such job in this project."""

    code = "JOB_NOT_FOUND"


class DefinitionChangeError(ConfigError):
    """``mode``, ``keys``, ``sequence_by``, ``snapshot_by`` or ``snapshot_as`` differ from what wrote the table."""

    code = "DEFINITION_CHANGE"


class RunOrderError(ConfigError):
    """Jobs that were to run side by side read each other's tables, so that one must come after the other."""

    code = "RUN_ORDER"


class TransformMismatchError(ConfigError):
    """The parameters of ``transform`` are not the names of the sources."""

    code = "TRANSFORM_MISMATCH"


class UndefinedReferenceError(ConfigError):
    """A reference such as ``${env:NAME}`` or ``${param:NAME}`` that nothing defines."""

    code = "REFERENCE_UNDEFINED"


class SetupError(LakehouseError):
    """The machine lacks something that a run needs."""

    code = "SETUP"


class JavaMissingError(SetupError):
    """No Java was found."""

    code = "JAVA_MISSING"


class JavaVersionError(SetupError):
    """The Java that was found is not one that Spark runs on."""

    code = "JAVA_VERSION"


class JarMissingError(SetupError):
    """A jar of the lock is not there, or could not be fetched."""

    code = "JAR_MISSING"


class JarHashError(SetupError):
    """A jar's bytes are not those of the lock."""

    code = "JAR_HASH"


class LakeNotWritableError(SetupError):
    """The lake's folder cannot be made or written."""

    code = "LAKE_NOT_WRITABLE"


class ExtraMissingError(SetupError):
    """A library that only some need, and which is an extra of this one, is not installed."""

    code = "EXTRA_MISSING"


class SourceError(LakehouseError):
    """Something that was to be read."""

    code = "SOURCE"


class SourceNotFoundError(SourceError):
    """The path or table of a source does not exist."""

    code = "SOURCE_NOT_FOUND"


class SourceEmptyError(SourceError):
    """A folder that has never held a file: most often a wrong path."""

    code = "SOURCE_EMPTY"


class FileUnreadableError(SourceError):
    """A file that cannot be read as what it is said to be."""

    code = "FILE_UNREADABLE"


class FileChangedError(SourceError):
    """A file that was rewritten under its name after it was read."""

    code = "FILE_CHANGED"


class FileLinkError(SourceError):
    """Links to folders, in the folder of a source, that cannot be left out of what Spark reads."""

    code = "FILE_LINK"


class NotDeltaError(SourceError):
    """A folder that was to be a Delta table and is not."""

    code = "NOT_DELTA"


class TableUnreadableError(SourceError):
    """A Delta table that is not whole: its log has a gap, or files that it names are gone."""

    code = "TABLE_UNREADABLE"


class TableUnsupportedError(SourceError):
    """A Delta table that needs a newer reader or writer than this one."""

    code = "TABLE_UNSUPPORTED"


class NotAppendOnlyError(SourceError):
    """A table read as a stream in which rows were changed or removed."""

    code = "NOT_APPEND_ONLY"


class SourceChangedError(SourceError):
    """A table read as a stream that is another one now: made again, rebuilt, or with columns renamed or dropped."""

    code = "SOURCE_CHANGED"


class SourceGrownError(SourceError):
    """A table read as a stream that got columns while it was read: a new run reads them, too."""

    code = "SOURCE_GROWN"
    retryable = True


class LogUnreadableError(SourceError):
    """The log of a Delta table has what Spark cannot read, such as a commit that another writer made."""

    code = "LOG_UNREADABLE"


class ReservedNameError(SourceError):
    """A column of a source has a name that this library uses."""

    code = "RESERVED_NAME"


class RecordsLostError(SourceError):
    """Records of a topic that were never read are gone, or the topic is another one of the same name."""

    code = "RECORDS_LOST"


class AccessDeniedError(SourceError):
    """A server does not let us read."""

    code = "ACCESS_DENIED"


class SourceUnavailableError(SourceError):
    """A server does not answer."""

    code = "SOURCE_UNAVAILABLE"
    retryable = True


class StreamFailedError(SourceError):
    """Spark ended the stream of a source, and says why in words that this library does not know."""

    code = "STREAM_FAILED"


class ColumnMissingError(SourceError):
    """A column that the contract declares is not in the source at all."""

    code = "COLUMN_MISSING"


class ExpressionError(LakehouseError):
    """An expression of the job, such as ``apply_as_deletes``, fails on a value of some row."""

    code = "EXPRESSION_FAILED"


class UnexpectedError(LakehouseError):
    """An exception of Spark, Java or Python that this library has no better word for."""

    code = "UNEXPECTED"


class TransformError(LakehouseError):
    """The job's own ``transform`` raised, or returned something that is not a DataFrame."""

    code = "TRANSFORM_FAILED"


class WriteError(LakehouseError):
    """Something that was to be written."""

    code = "WRITE"


class SchemaDriftError(WriteError):
    """Columns that the table lacks, under ``evolve: strict``; or a column that it must have, which the rows lack."""

    code = "SCHEMA_DRIFT"


class TypeChangeError(WriteError):
    """A column whose type is not the table's, and cannot be made so without loss."""

    code = "TYPE_CHANGE"


class LayoutChangeError(WriteError):
    """``partition_by`` or ``cluster_by`` differ from the table's."""

    code = "LAYOUT_CHANGE"


class KeyMissingError(WriteError):
    """A column named in ``keys``, ``sequence_by``, ``partition_by`` … is not in what transform() made."""

    code = "KEY_MISSING"


class ConstraintError(WriteError):
    """A row breaks a rule that the table has of its own: NOT NULL, CHECK, or the length of a text."""

    code = "CONSTRAINT"


class CommitMissingError(WriteError):
    """The write returned, yet the table has no commit of this batch: it was skipped without a word."""

    code = "COMMIT_MISSING"


class WriteConflictError(WriteError):
    """Another writer changed the table between the probe and the commit."""

    code = "WRITE_CONFLICT"
    retryable = True


class TableChangedError(WriteError):
    """Another writer changed the table's columns or protocol between the probe and the commit."""

    code = "TABLE_CHANGED"
    retryable = True


class BatchConflictError(WriteError):
    """Another runner commits batches of the same checkpoint."""

    code = "BATCH_CONFLICT"
    retryable = True


class StorageError(LakehouseError):
    """The storage under the tables, or under Spark's scratch files."""

    code = "STORAGE"


class StorageFullError(StorageError):
    """No space is left, or no quota."""

    code = "STORAGE_FULL"


class StorageDeniedError(StorageError):
    """The storage does not let us read or write."""

    code = "STORAGE_DENIED"


class StorageUnavailableError(StorageError):
    """The storage does not answer, or not in time; whether a commit was made is then for its log to say."""

    code = "STORAGE_UNAVAILABLE"
    retryable = True


class CheckpointError(LakehouseError):
    """The checkpoint belongs to another job, or does not fit the table."""

    code = "CHECKPOINT"


class RecoveryError(LakehouseError):
    """What was asked for cannot be recovered, undone, replayed or compared."""

    code = "RECOVERY"


class BuiltUponError(RecoveryError):
    """Later runs build on the run that was to be undone."""

    code = "BUILT_UPON"


class OutputError(LakehouseError):
    """What a command has to say cannot be written to stdout; what it did is done."""

    code = "OUTPUT"


class LedgerError(LakehouseError):
    """The ledger cannot be written; the next run adds the batches that it lacks."""

    code = "LEDGER"


class ImbalanceError(LakehouseError):
    """The counts of a batch do not add up, or differ from what the commit did."""

    code = "IMBALANCE"


class QualityGateError(LakehouseError):
    """Too much of a contract is broken: a rule with ``on_fail: fail``, ``at_most`` or ``min_score``.

    Attributes:
        quality: what was found (a ``lakehouse.lake.quality.Quality``); None where it is no contract that says so.
    """

    code = "QUALITY_GATE"
    exit_code = 3

    def __init__(self, message: str, *, hint: str = "", quality: object | None = None) -> None:
        super().__init__(message, hint=hint)
        self.quality = quality


class DeleteGuardError(QualityGateError):
    """A snapshot would delete more than the job lets it, or lacks what could not be read."""

    code = "DELETE_GUARD"


class StoppedError(LakehouseError):
    """A run that ends by itself was told to stop, by SIGTERM or Ctrl-C, before it had done what was due."""

    code = "STOPPED"
    retryable = True
    exit_code = 5


class LockedError(LakehouseError):
    """Another runner holds the job."""

    code = "LOCKED"
    retryable = True
    exit_code = 4


class HeldError(LakehouseError):
    """The job's circuit breaker is open: it is not run until ``lakehouse resume``.

    Attributes:
        batch: the stream and number of the batch that was too much; None where it was none.
    """

    code = "HELD"
    exit_code = 4

    def __init__(self, message: str, *, hint: str = "", batch: tuple[str, int] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.batch = batch
