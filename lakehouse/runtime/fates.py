"""Where every row of a batch went, from what was known before the write and from what the write did."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from lakehouse.publish.ledger import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.write.commit import WriteResult


def rows_of(known: Mapping[str, int], written: WriteResult) -> Rows:
    """All counts of a batch."""
    fates = {name: count for name, count in asdict(written).items() if name in Rows.__dataclass_fields__}
    # those that had no key are counted before the write, and in what is known
    fates.pop("rejected", None)
    return Rows(**{**known, **fates})
