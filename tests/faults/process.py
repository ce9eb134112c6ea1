"""Commands of ``lakehouse`` one after the other in one process, on the failing file system: ``process.py '[["run", "x"]]'``.

``["sql", TEXT]`` is a statement of Spark's. Each command's last line of JSON is printed, then its exit code; the process
ends with the greatest.
"""

from __future__ import annotations

import json
import sys

from lakehouse.certify.failing import fail_in_python
from lakehouse.cli import main


def done(command: list[str]) -> int:
    if command[0] == "sql":
        from lakehouse.runtime.session import settled, start

        spark = start("faults", {"spark.databricks.delta.retentionDurationCheck.enabled": "false"})
        with settled(spark, {"spark.databricks.delta.retentionDurationCheck.enabled": "false"}):
            spark.sql(command[1]).collect()
        return 0
    sys.argv = ["lakehouse", *command]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)


if __name__ == "__main__":
    fail_in_python()
    codes = []
    for one in json.loads(sys.argv[1]):
        codes.append(done(one))
        print(json.dumps({"exit": codes[-1], "command": one}), flush=True)
    sys.exit(max(codes))
