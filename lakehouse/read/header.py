"""The columns of a file held against the contract: one that lacks what must be there is wrong as a whole."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.frame import col
from lakehouse.lake.storage import plain_path
from lakehouse.read.scan import URI, Unreadable, glob_escaped, is_the_files_fault
from lakehouse.spec.document import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import Column, DataFrame

    from lakehouse.spec.files import FilesSource

CODE = "FILE_HEADER"


def check_header(names: Iterable[str], source: FilesSource) -> None:
    """Hold the names of a file's columns against the contract of its source.

    Raises:
        Unreadable: a column that must not be NULL is not there, none of those that are declared is, or one is there
            under two of its names.
    """
    contract = source.contract
    if contract is None or not contract.columns:
        return
    has = list(names)
    spelled: dict[str, list[str]] = {}
    for name in has:
        if declared := contract.names.get(name.lower()):
            spelled.setdefault(declared, []).append(name)
    if twice := next((found for found in spelled.values() if len(found) > 1), None):
        message = f"its columns {' and '.join(twice)} are one: by its name and by an alias of the contract"
        raise Unreadable(message, CODE)
    if contract.missing == "allow":
        return
    places = {name.lower() for name in source.columns_of_place}
    listed = _listed(has, is_shown=not contract.personal)
    wanted = [name for name in contract.columns if name.lower() not in places]
    lacking = [name for name in wanted if name not in spelled and not contract.columns[name].nullable]
    if lacking:
        near = "" if contract.personal else _near(lacking[0], has)
        message = (
            f"it lacks {', '.join(lacking)}, which must not be NULL (it has {listed}{near}); where a "
            "column has another name there, say so by aliases: in the contract"
        )
        raise Unreadable(message, CODE)
    if wanted and not spelled:
        message = f"it has none of the columns that the contract declares: it has {listed}"
        raise Unreadable(message, CODE)


def _listed(names: list[str], *, is_shown: bool) -> str:
    """The names in short; of a file that has lost its header they are values, which may be personal."""
    if not is_shown:
        return f"{len(names):,} columns"
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "")


def lacking(frame: DataFrame, form: str, source: FilesSource) -> dict[str, str]:
    """Those files of a frame whose schemas were merged that lack what their contract needs, and why.

    A file in which a column is NULL throughout may be without it: its own schema decides, which costs a look at it.
    """
    contract = source.contract
    if contract is None or not contract.columns:
        return {}
    came: dict[str, list[Column]] = {name: [] for name in contract.columns}
    for name in frame.columns:
        if declared := contract.names.get(name.lower()):
            came[declared].append(col(name))
    values = {name: F.coalesce(*found) if found else F.lit(None) for name, found in came.items()}
    counts = [F.count(value) == 0 for name, value in values.items() if not contract.columns[name].nullable]
    is_any = reduce(lambda one, other: one | other, [value.isNotNull() for value in values.values()])
    nothing = F.count_if(is_any) == 0
    # of all names that came, in whatever file, any two
    counted = [[one.isNotNull().cast("int") for one in found] for found in came.values() if found[1:]]
    both = [F.count_if(reduce(lambda one, other: one + other, found) > 1) > 0 for found in counted]
    suspicious = reduce(lambda one, other: one | other, [*counts, *both, nothing])
    wrong: dict[str, str] = {}
    for row in frame.groupBy(URI).agg(suspicious.alias("is_suspicious")).where(F.col("is_suspicious")).collect():
        path = plain_path(row[URI], encoded=True)
        try:
            check_header(frame.sparkSession.read.format(form).load(glob_escaped(path)).columns, source)
        except Unreadable as error:
            wrong[path] = str(error)
        except Exception as error:
            # a schema that is read in another way, such as one of nanoseconds: its rows are judged one by one
            if not is_the_files_fault(error):
                raise
    return wrong


def _near(name: str, has: list[str]) -> str:
    near = nearest(name, has)
    return near if "did you" in near else ""
