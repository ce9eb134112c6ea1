"""Why Delta did not commit, in this library's words."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakehouse.errors import ConstraintError, TypeChangeError, WriteError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.lake.table import Table

_REFUSALS = {
    "DELTA_NOT_NULL_CONSTRAINT_VIOLATED": ConstraintError,
    "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES": ConstraintError,
    "DELTA_EXCEED_CHAR_VARCHAR_LIMIT": ConstraintError,
    "DELTA_CONSTRAINT_DATA_TYPE_MISMATCH": TypeChangeError,
    "DELTA_GENERATED_COLUMNS_DATA_TYPE_MISMATCH": TypeChangeError,
    "DELTA_CANNOT_MODIFY_APPEND_ONLY": WriteError,
    # MERGE writes no struct whose fields may be NULL into one in which they may not
    "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION": TypeChangeError,
}


@contextmanager
def refused(target: Table) -> Iterator[None]:
    """Tell in this library's words why Delta did not commit: nothing of such a commit is in the table.

    Raises:
        ConstraintError: a row breaks a rule that the table has of its own.
        TypeChangeError, WriteError: the table does not let itself be changed so.
    """
    try:
        yield
    except Exception as error:
        text = str(error)
        for condition, kind in _REFUSALS.items():
            if f"[{condition}]" in text:
                told = " ".join(text.split(f"[{condition}]", 1)[1].split("\n\tat ")[0].split())
                # what Delta says of the row is its values
                told = re.sub(" by row with values:.*", "", re.sub('^Value ".*" exceeds', "A value exceeds", told))
                message = f"{target.name}: {told[:500] or first_line(error)}"
                hint = "the table has this rule of its own: mend the rows in transform(), or drop the rule"
                raise kind(message, hint=hint) from error
        raise
