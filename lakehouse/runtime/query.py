"""A job's SQL, run over the frames of a batch as ``transform()`` would be."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakehouse.errors import UndefinedReferenceError
from lakehouse.lake.statements import run_sql
from lakehouse.spec.document import nearest
from lakehouse.spec.reference import resolve

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.spec.query import Query


@dataclass(frozen=True)
class QueryTransform:
    """The transform of a job that is one SELECT: what it makes of its sources, and of its parameters as values."""

    query: Query
    sources: tuple[str, ...]
    values: Mapping[str, str] = field(repr=False)

    @property
    def source(self) -> str:
        """What its result depends on besides the rows."""
        return f"{self.query.text}\0{json.dumps(self.values, sort_keys=True)}"

    def __call__(self, *frames: DataFrame, **named: DataFrame) -> DataFrame:
        """Run it; the frames are in the order of the sources, or by their names.

        The names are those of a WITH around the text, which hides whatever tables and views have them; its own views
        have names that nobody else has, and are gone once the text is analysed.
        """
        known: dict[str, Any] = {**dict(zip(self.sources, frames, strict=False)), **named}
        views = {f"source_{number}": known[name] for number, name in enumerate(self.sources)}
        spark = next(iter(views.values())).sparkSession
        framed: DataFrame = run_sql(spark, self._text(views), **views)
        return framed

    def _text(self, views: Iterable[str]) -> str:
        """The text in its WITH, a mark for each view; it begins in the first line, as Spark's errors name lines."""
        parts = (f"`{name}` AS (TABLE {{{view}}})" for name, view in zip(self.sources, views, strict=True))
        text = self.query.filled({name: _value(text) for name, text in self.values.items()})
        text = text.replace("{", "{{").replace("}", "}}")
        # it may end in a comment
        return f"WITH {', '.join(parts)}, `__made` AS ({text}\n) TABLE `__made`"


def _value(text: str) -> str:
    """A text as an SQL expression in which no character of it can mean anything.

    Spark 4.1 loses the ``args`` of ``spark.sql`` where Delta's parser stands before its own.
    """
    return f"CAST(X'{text.encode().hex()}' AS STRING)"


def bound(query: Query, sources: tuple[str, ...], params: Mapping[str, str]) -> QueryTransform:
    """The query with a value for each of its parameters.

    Raises:
        UndefinedReferenceError: there is none for one of them, or one refers to what nothing defines.
    """
    for name, (line, column) in query.parameters.items():
        if name not in params:
            message = f"{query.file}:{line}:{column}: :{name} is not defined"
            mend = f"give --param {name}=…, or a value under params:{nearest(name, sorted(params))}"
            raise UndefinedReferenceError(message, hint=mend)
    values = {
        name: resolve(f"${{param:{name}}}", params=params, environ=os.environ, field=query.file)
        for name in query.parameters
    }
    return QueryTransform(query, sources, values)
