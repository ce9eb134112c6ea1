"""Commands of ``lakehouse`` one after the other in one process, on the failing file system: ``process.py '[["run", "x"]]'``.

``["sql", TEXT]`` is a statement of Spark's. Each command's last line of JSON is printed, then its exit code; the process
ends with the greatest. With ``-`` it takes such lists from its input, a line each, and after each prints the greatest:
a start of Spark takes longer than the commands.
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


def all_done(commands: list[list[str]]) -> int:
    codes = []
    for one in commands:
        codes.append(done(one))
        print(json.dumps({"exit": codes[-1], "command": one}), flush=True)
    return max(codes)


def forget() -> None:
    """What Delta remembers of tables, which others have put in their place since."""
    from lakehouse.runtime.session import start

    start("faults", {})._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


if __name__ == "__main__":
    fail_in_python()
    if sys.argv[1] != "-":
        sys.exit(all_done(json.loads(sys.argv[1])))
    for line in sys.stdin:
        forget()
        print(json.dumps({"ended": all_done(json.loads(line))}), flush=True)
