"""``python -m lakehouse``: the command line."""

from __future__ import annotations

from lakehouse.cli import main

main()
