"""Files become rows: each file read as what it is, so that header drift and a broken file stay that file's matter."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial, reduce
from itertools import groupby
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol
from urllib.parse import quote

from pyspark.sql import functions as F

from lakehouse.errors import (
    FileChangedError,
    FileUnreadableError,
    SourceEmptyError,
    SourceNotFoundError,
    first_line,
)
from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE, SOURCE_TYPE, BadFile, unite
from lakehouse.lake.frame import by_types, small_frame, together
from lakehouse.lake.statements import expression
from lakehouse.lake.storage import (
    LISTING,
    FileEntry,
    check_access,
    digest,
    entries,
    list_files,
    listing,
    local,
    plain_path,
)
from lakehouse.read import avro, csv, fixed_width, json, text
from lakehouse.read.columnar import Columnar
from lakehouse.read.control import Controlled, as_told, came_late, controlled, data_files, to_read, waiting
from lakehouse.read.feed import Behind, Due, Taken
from lakehouse.read.folders import is_below, ready
from lakehouse.read.header import CODE as HEADER
from lakehouse.read.header import lacking
from lakehouse.read.links import NAME, Links, names_charset
from lakehouse.read.plain import TEXTS, Scratch, pieces
from lakehouse.read.scan import (
    BLOCK,
    ENCODING,
    ORDINAL,
    URI,
    Unreadable,
    fault_of,
    glob_escaped,
    is_the_files_fault,
    wrong_byte,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.errors import LakehouseError
    from lakehouse.lake.batch import Arrived
    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.read.feed import Span
    from lakehouse.read.scan import Groups, Scan
    from lakehouse.spec.contract import Contract
    from lakehouse.spec.files import FileFormat, FilesSource
    from lakehouse.spec.places import Places

_NEVER = "36500d"
"""Spark forgets, and then passes over, files older than its ``maxFileAge`` (7 days): a late file must be seen."""

_LOOKED_AT = 100
"""Files whose header a plan reads."""

_NOTHING_SAID = Controlled()


class Format(Protocol):
    """How files of one format become rows; the module of its name has both."""

    def groups(self, spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
        """The files that are read together, each group with its scan, and the files that cannot be read at all."""

    def columns(self, spark: SparkSession, paths: Sequence[str], source: FilesSource) -> dict[str, str]:
        """The columns that the files would bring, with their types."""


_FORMATS: dict[FileFormat, Format] = {
    "csv": csv,
    "json": json,
    "parquet": Columnar("parquet"),
    "avro": avro,
    "orc": Columnar("orc"),
    "text": text,
    "fixed_width": fixed_width,
}
"""XML and Excel are not among them: they are written as JSON lines before Spark sees them."""


@dataclass(frozen=True)
class FilesFeed:
    """Files that arrive in a folder: Spark's checkpoint says which are new, and each is read here as what it is."""

    folder: str
    source: FilesSource
    span: Span | None = None
    places: Places | None = None
    missing: ClassVar[Literal["null"]] = "null"
    gives_rows: ClassVar[bool] = False

    @property
    def where(self) -> str:
        """The folder."""
        return self.folder

    @property
    def contract(self) -> Contract | None:
        """What its rows are held against."""
        return self.source.contract

    def look(self, spark: SparkSession, checkpoint: Checkpoint) -> bool:
        """Look at the folder before Spark does, for what Spark passes over without a word.

        Raises:
            SourceNotFoundError: there is no such folder.
            SourceEmptyError: it is empty, and has been all along.
            FileChangedError: a file was rewritten under its name after it was read.
        """
        self._new(spark, checkpoint, noting=True)
        return False

    def _new(self, spark: SparkSession, checkpoint: Checkpoint, *, noting: bool = False) -> list[FileEntry]:
        place = local(self.folder)
        if place is not None and not place.is_dir():
            message = f"no folder {self.folder}"
            raise SourceNotFoundError(message, hint="look at the source's path, and at --param")
        taken = checkpoint.files(spark)
        found = list_files(spark, self.folder, self.source.listed)
        if not found and not taken and not self.source.allow_empty and not waiting(spark, self.folder, self.source):
            message = f"{self.folder} holds no file that matches {self.source.listed}, and never has"
            raise SourceEmptyError(message, hint="look at the source's path and pattern, or say allow_empty: true")
        pending = checkpoint.pending(spark)
        # a batch that is still to be read takes its files as they are now
        open_files = checkpoint.files_of(spark, pending) if pending is not None else {}
        noted = {path: modified for path, (modified, _) in taken.items()} | checkpoint.grown(spark)
        read = {path: modified for path, modified in noted.items() if path not in open_files}
        changed = [file.path for file in found if read.get(file.path, file.modified_ms) != file.modified_ms]
        if self.source.control and self.source.on_changed == "fail":
            changed += came_late(data_files(spark, self.folder, self.source), read, noted, self.source)
        changed = self._rewritten(spark, checkpoint, changed, noting=noting)
        if changed and self.source.on_changed == "fail":
            message = f"{len(changed)} files were rewritten after they were read, first {changed[0]}"
            hint = "deliver what is new under a new name; to leave one as it was read, name it in accept_changed"
            raise FileChangedError(message, hint=hint)
        marker = self.source.ready_by
        whole = ready(self.folder, marker) if marker else None
        return [file for file in found if file.path not in taken and (whole is None or is_below(file.path, whole))]

    def _rewritten(
        self, spark: SparkSession, checkpoint: Checkpoint, changed: Sequence[str], *, noting: bool
    ) -> list[str]:
        """Those of the files of another time that hold something else than what was read, and were not accepted.

        One that was touched is noted with its new time, so that it is looked at once.
        """
        rest = [path for path in changed if not self._is_accepted(path)]
        digests = checkpoint.digests(spark) if rest and self.source.on_changed == "fail" else {}
        same = {path for path in rest if path in digests and digest(path) == digests[path]}
        if same and noting:
            times = {path: Path(plain_path(path, encoded=False)).stat().st_mtime_ns // 1_000_000 for path in same}
            checkpoint.has_grown(spark, times)
        return [path for path in rest if path not in same]

    def _is_accepted(self, path: str) -> bool:
        names = (PurePosixPath(path).name, path.removeprefix(f"{self.folder}/"))
        return any(name in self.source.accept_changed for name in names)

    def _read(
        self,
        spark: SparkSession,
        checkpoint: Checkpoint,
        number: int,
        *,
        files: Sequence[FileEntry],
        arrive: Callable[[], Arrived],
    ) -> Arrived:
        """Read the files of a batch, and note what they hold, so that one that is only touched later is known."""
        arrived = arrive()
        if self.source.on_changed == "fail":
            found = {file.path: digest(file.path) for file in files if file.bytes > 0}
            checkpoint.has_digests(spark, number, {path: one for path, one in found.items() if one})
        return arrived

    def stream(self, spark: SparkSession, run_id: str) -> DataFrame:
        """The files that arrive, as a stream of ``path, modified_ms, bytes``; their content is not read here."""
        del run_id
        reader = spark.readStream.format("binaryFile").schema(LISTING).option("recursiveFileLookup", "true")
        reader = reader.option("pathGlobFilter", self.source.listed).option("maxFileAge", _NEVER)
        if self.source.max_bytes:
            reader = reader.option("maxBytesPerTrigger", self.source.max_bytes)
        else:
            reader = reader.option("maxFilesPerTrigger", self.source.max_files or 1000)
        marker = self.source.ready_by
        folders = ready(self.folder, marker) if marker else [self.folder]
        files = listing(reader.load(self._links.spark_paths(folders)))
        if self.span is None:
            return files
        first, last = self.span.bounds_ms
        return files.where((F.col("modified_ms") >= first) & (F.col("modified_ms") < last))

    def take(self, batch: DataFrame, number: int, checkpoint: Checkpoint, run_id: str) -> Taken:
        """The files of the batch, also those of zero bytes: of them Spark's source makes no row."""
        spark = batch.sparkSession
        found = entries(batch)
        known = {file.path: file.modified_ms for file in found}
        announced = checkpoint.files_of(spark, number)
        if grown := {path: at for path, at in known.items() if announced.get(path, at) != at}:
            checkpoint.has_grown(spark, grown)
        span = self.span
        taken = {path: at for path, at in announced.items() if span is None or span.holds(at)}
        # of a length of none: one that was mended away since the batch was begun
        lost = {
            path: 0 if (place := local(path)) is None or place.exists() else -1 for path in taken.keys() - known.keys()
        }
        files = sorted([*found, *(FileEntry(path, taken[path], length) for path, length in lost.items())])
        inputs = {"files": _as_noted(files)}
        files, linked = self._links.sort_out(files)
        listed = files
        held = Controlled(bad=(*linked, *self._not_followed(spark, number, checkpoint)))
        if self.source.control:
            earlier = checkpoint.files(spark).keys() - announced.keys()
            held += controlled(spark, self.folder, files, self.source, earlier=earlier)
            inputs = {**inputs, "data": _as_noted(held.files)}
            files, linked = self._links.sort_out(held.files)
            held += Controlled(bad=linked)
            if held.noted:
                checkpoint.has_grown(spark, dict(held.noted))
        now = datetime.now(UTC)
        lies: Literal["before", "behind"] | None = None
        if span and announced and not taken:
            # Spark takes files in the order of their times
            lies = "behind" if min(announced.values()) >= span.bounds_ms[1] else "before"
        arrive = partial(read_files, spark, files, self.source, run_id=run_id, now=now, held=held)
        return Taken(
            inputs, partial(self._read, spark, checkpoint, number, files=[*listed, *files], arrive=arrive), lies=lies
        )

    @property
    def _links(self) -> Links:
        return Links(self.folder, self.source.pattern, self.places)

    def _not_followed(self, spark: SparkSession, number: int, checkpoint: Checkpoint) -> list[BadFile]:
        """The links and names that Spark does not see, and that were found by no batch before this one."""
        noted = checkpoint.grown(spark)
        # below any time that a file may have
        mine = -2 - number
        found = {}
        for bad in self._links.never_followed(charset=names_charset(spark)):
            if bad.code == NAME:
                found[bad.file] = bad
                continue
            # one that is gone by now, or no link any more, is what the next batch finds
            with suppress(OSError):
                found[f"{bad.file} -> {os.readlink(bad.file)}"] = bad  # noqa: PTH115
        taken = checkpoint.files(spark)
        new = [name for name, bad in found.items() if noted.get(name, mine) == mine and bad.file not in taken]
        if new:
            checkpoint.has_grown(spark, dict.fromkeys(new, mine))
        return [found[name] for name in new]

    def due(self, spark: SparkSession, checkpoint: Checkpoint) -> Due:
        """The new files, and what their headers, footers and first lines name."""
        new = self._new(spark, checkpoint)
        looked_at: Sequence[FileEntry] = new[:_LOOKED_AT]
        if self.source.control:
            looked_at, _ = self._links.sort_out(looked_at)
            looked_at = controlled(spark, self.folder, looked_at, self.source, earlier=()).files
        looked_at, _ = self._links.sort_out(looked_at)
        of_place = dict.fromkeys(self.source.columns_of_place, "string")
        columns = {**columns_of_files(spark, looked_at, self.source), **(of_place if looked_at else {})}
        told = f"{len(new):,} new files, {sum(file.bytes for file in new):,} bytes of {self.folder}"
        if late := waiting(spark, self.folder, self.source):
            told += f"; {len(late):,} wait for {self.source.ready_by or self.source.control}, such as {late[0]}"
        return Due(told, small_frame(spark, [], {**columns, SOURCE: SOURCE_TYPE}))

    def behind(self, spark: SparkSession, checkpoint: Checkpoint) -> list[Behind]:
        """The files that were not read yet."""
        new = self._new(spark, checkpoint)
        oldest = min((file.modified_ms for file in new), default=None)
        seconds = None if oldest is None else round(time.time() - oldest / 1000, 1)
        return [Behind(self.folder, len(new), "files", seconds)]

    def failure(self, error: str) -> LakehouseError | None:
        """Nothing that Spark says of files needs other words."""
        del error
        return None


def columns_of_files(spark: SparkSession, files: Sequence[FileEntry], source: FilesSource) -> dict[str, str]:
    """The columns that the files would bring and their types: from headers, footers and the first lines of JSON."""
    columns: dict[str, str] = {}
    with TemporaryDirectory(prefix="lakehouse-") as folder:
        found, _ = pieces(files, source, Scratch(spark, Path(folder), source.limits))
        for form, same in groupby(sorted(found), key=lambda piece: piece.format):
            columns = {**_FORMATS[form].columns(spark, [piece.path for piece in same], source), **columns}
    return columns


@dataclass(frozen=True)
class _Read:
    """Some files of one kind, evaluated: their rows, and the files that could not be read."""

    frames: tuple[DataFrame, ...] = ()
    bad: tuple[BadFile, ...] = ()

    def __add__(self, other: _Read) -> _Read:
        return _Read(self.frames + other.frames, self.bad + other.bad)


def read_files(
    spark: SparkSession,
    files: Sequence[FileEntry],
    source: FilesSource,
    *,
    run_id: str,
    now: datetime,
    held: Controlled = _NOTHING_SAID,
) -> Arrived:
    """The records of the files, each with its file and its ordinal in it (from 1), evaluated once.

    Text formats give every value as the text that was received; types are a contract's matter. Columns are matched by
    name, and one that a file lacks is NULL. Then come the columns that the files' places tell. ``held`` says what their
    control files say of them.

    Raises:
        FileUnreadableError: a file cannot be read, and the source says ``on_unreadable: fail``.
        FileChangedError: a file changed while it was read.
    """
    wanted, refused = to_read(spark, sorted(files), source, held)
    with TemporaryDirectory(prefix="lakehouse-") as folder:
        found, lost = pieces(wanted, source, Scratch(spark, Path(folder), source.limits))
        read = _Read(bad=(*refused, *lost))
        names = {piece.path: piece.file for piece in found}
        for form, same in groupby(sorted(found), key=lambda piece: piece.format):
            groups, broken = _FORMATS[form].groups(spark, [piece.path for piece in same], source)
            one = _Read(bad=tuple(broken))
            for paths, scan in groups:
                one += _readable(paths, scan, partial(_wrong, form, source))
            read += replace(one, bad=tuple(replace(file, file=names[file.file]) for file in one.bad))
        parts = _with_source(spark, read, names, run_id, now)
    _unchanged(file for file in wanted if file.bytes >= 0)
    parts, bad = as_told(parts, wanted, read.bad, source, held)
    if bad and source.on_unreadable == "fail":
        listed = "\n  ".join(f"{file.file}: {file.code}: {file.message}" for file in bad)
        message = f"{len(bad)} of {len(files)} files cannot be read:\n  {listed}"
        raise FileUnreadableError(message, hint="mend or remove them, or say on_unreadable: quarantine")
    return unite(parts, bad)


def _as_noted(files: Sequence[FileEntry]) -> list[list[Any]]:
    """Files as the commits of their batch name them."""
    return [[file.path, file.modified_ms, file.bytes] for file in files]


def _readable(paths: Sequence[str], scan: Scan, find_wrong: Callable[[DataFrame], dict[str, BadFile]]) -> _Read:
    """Evaluate the scan of the files; where it fails, part them until the broken ones stand alone.

    The error most often names the file. So b broken files among n cost some 2·b further scans, and only then.
    """
    try:
        frame = scan(paths)
        wrong = find_wrong(frame)
    except Exception as error:
        if "FILE_NOT_EXIST" in str(error):
            message = f"a file vanished while it was read: {first_line(error)}"
            raise FileChangedError(message, hint="run again") from error
        if not is_the_files_fault(error):
            raise
        if len(paths) == 1:
            check_access(paths[0])
            return _Read(bad=(BadFile(paths[0], *fault_of(error)),))
        named = error.file if isinstance(error, Unreadable) and error.file else _named(str(error), paths)
        rest = [path for path in paths if path != named]
        parts = [part for part in ([named] if named else [], rest[: len(rest) // 2], rest[len(rest) // 2 :]) if part]
        return reduce(lambda one, part: one + _readable(part, scan, find_wrong), parts, _Read())
    if not wrong:
        return _Read(frames=(frame,))
    # read again without them: what a broken file names is no column of the others
    good = [path for path in paths if path not in wrong]
    bad = _Read(bad=tuple(wrong[path] for path in sorted(wrong)))
    return bad + _readable(good, scan, find_wrong) if good else bad


def _wrong(form: FileFormat, source: FilesSource, frame: DataFrame) -> dict[str, BadFile]:
    """Those of the files that were scanned which are wrong as a whole."""
    if form in ("parquet", "orc"):
        return {path: BadFile(path, HEADER, why) for path, why in lacking(frame, form, source).items()}
    if form not in TEXTS:
        return {}
    return {path: BadFile(path, "FILE_ENCODING", why) for path, why in _wrong_encoding(frame).items()}


def _named(error: str, paths: Sequence[str]) -> str | None:
    """The file that an error speaks of, where it is one of these: Spark writes some as a path, and some as a URI."""
    found = [path for path in paths if path in error or quote(path) in error]
    return max(found, key=len, default=None)


def _unchanged(files: Iterable[FileEntry]) -> None:
    """A file that grew or was replaced while it was read is not what was listed: the batch must be read again."""
    for file in files:
        place = local(file.path)
        if place is None:
            continue
        try:
            stat = place.stat()
        except FileNotFoundError:
            message = f"{file.path} vanished while it was read"
            raise FileChangedError(message, hint="a file that was announced must stay until it is read") from None
        if (stat.st_mtime_ns // 1_000_000, stat.st_size) != (file.modified_ms, file.bytes):
            message = f"{file.path} changed after it was listed (was {file.bytes} bytes, is {stat.st_size})"
            raise FileChangedError(message, hint="write files under another name, then rename them into the folder")


def _wrong_encoding(frame: DataFrame) -> dict[str, str]:
    """Files that are not UTF-8 as a whole, and why: more than half of their records are not, or a name of a column.

    A record that is not UTF-8 is a matter of its own: what else can be read is what it says, as all encodings that come
    into question write ASCII in the same way.
    """
    if any("\ufffd" in name for name in frame.columns):
        return _not_utf8(frame)
    if CODE not in frame.columns:
        return {}
    wrong = F.coalesce(F.col(CODE) == ENCODING, F.lit(False))
    if not frame.where(wrong).limit(1).count():
        return {}
    counts = frame.groupBy(URI).agg(
        F.count("*").alias("records"),
        F.count_if(wrong).alias("wrong"),
        F.min(F.when(wrong, F.struct(BLOCK, ORDINAL, MESSAGE)))[MESSAGE].alias("first"),
    )
    return {
        plain_path(
            row[URI], encoded=True
        ): f"{row.wrong:,} of {row.records:,} records are not UTF-8, the first: {row.first}"
        for row in counts.where(expression("wrong * 2 > records")).collect()
    }


def _not_utf8(frame: DataFrame) -> dict[str, str]:
    """The files of a frame that hold a byte which is not UTF-8."""
    paths = [plain_path(row[URI], encoded=True) for row in frame.select(URI).distinct().collect()]
    if not paths:
        return {}
    lines = frame.sparkSession.read.text([glob_escaped(path) for path in sorted(paths)])
    found = lines.where(~F.is_valid_utf8("value")).groupBy(F.col("_metadata.file_path").alias(URI))
    firsts = found.agg(F.first(wrong_byte(F.col("value"))).alias("why")).collect()
    return {plain_path(row[URI], encoded=True): f"in a line of it {row.why}" for row in firsts}


def _with_source(
    spark: SparkSession, read: _Read, names: Mapping[str, str], run_id: str, now: datetime
) -> list[DataFrame]:
    """The rows of all readable files, with ``_source``; apart where a column differs in type between them."""
    if not read.frames:
        return [small_frame(spark, [], {SOURCE: SOURCE_TYPE, RAW: "string", CODE: "string", MESSAGE: "string"})]
    blocks = (
        together([frame.select(URI, BLOCK, ORDINAL) for frame in read.frames])
        .groupBy(URI, BLOCK)
        .agg(F.count("*").alias("count"), F.min(ORDINAL).alias("first"))
        .orderBy(URI, BLOCK)
        .collect()
    )
    starts = []
    for uri, same in groupby(blocks, key=lambda block: block[URI]):
        path, before = names[plain_path(uri, encoded=True)], 0
        for block in same:
            starts.append((uri, block[BLOCK], path, before + 1 - block["first"]))
            before += block["count"]
    bases = small_frame(spark, starts, {URI: "string", BLOCK: "bigint", "__file": "string", "__base": "bigint"})
    source = F.struct(
        F.col("__file").alias("file"),
        (F.col(ORDINAL) + F.col("__base")).alias("position"),
        F.lit(None).cast("string").alias("topic"),
        F.lit(None).cast("int").alias("partition"),
        F.lit(None).cast("bigint").alias("offset"),
        F.lit(now).cast("timestamp").alias("ingested_at"),
        F.lit(run_id).alias("run_id"),
    )
    return [
        rows.join(F.broadcast(bases), [URI, BLOCK])
        .withColumn(SOURCE, source)
        .drop(URI, BLOCK, ORDINAL, "__file", "__base")
        for rows in by_types(read.frames)
    ]
