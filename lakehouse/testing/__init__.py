"""For tests, a project's own and those of its users: a lake in a temporary folder, and one Spark session for all.

Installed with the package, the pytest fixtures ``spark`` and ``lake`` are there without an import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.testing.lake import LocalLake

__all__ = ["LocalLake"]


def __getattr__(name: str) -> Any:
    """``LocalLake``, once it is asked for: pytest loads this folder in every project, and pyspark takes its time."""
    if name == "LocalLake":
        from lakehouse.testing.lake import LocalLake

        return LocalLake
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
