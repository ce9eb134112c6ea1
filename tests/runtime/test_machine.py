"""Results do not depend on the language, the locale or the zone of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pyspark.sql import SparkSession

from tests.runtime import machine


def test_a_turkish_machine_in_another_zone_makes_the_same_rows(spark: SparkSession, tmp_path: Path) -> None:
    """In Turkish the capital of i is İ, so that ID was no ``id`` there; and a day began at another hour."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYSPARK_GATEWAY")}
    environ |= {
        "JAVA_TOOL_OPTIONS": "-Duser.language=tr -Duser.country=TR -Duser.timezone=Asia/Kathmandu",
        "LC_ALL": "tr_TR.UTF-8",
        "TZ": "Asia/Kathmandu",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, machine.__file__, str(tmp_path / "there")]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        here = machine.play(spark, tmp_path / "here")
        out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    there = json.loads(out)
    assert there == {"language": "tr", "made": json.loads(json.dumps(here))}
    # and what both make is what was written down
    assert here["accepted"] == len(machine.TEXTS) - 1
    rows = {row[0]: dict(zip(here["columns"], row, strict=True)) for row in here["rows"]}
    assert [rows["1"][name] for name in ("INFO", "title", "names")] == ["TITLE", "Title", "Friday 2. January"]
    assert [rows["1"][name] for name in ("amount", "at", "hours")] == ["1234.51", "2026-06-30 22:30:00", "0"]
