"""For tests, a project's own and those of its users: a lake in a temporary folder, and one Spark session for all.

Installed with the package, the pytest fixtures ``spark`` and ``lake`` are there without an import.
"""

from __future__ import annotations

from lakehouse.testing.lake import LocalLake

__all__ = ["LocalLake"]
