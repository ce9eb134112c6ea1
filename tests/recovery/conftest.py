"""What the tests of recovery share with those of the write: an independent reader of tables."""

from __future__ import annotations

from tests.write.conftest import duck, read

__all__ = ["duck", "read"]
