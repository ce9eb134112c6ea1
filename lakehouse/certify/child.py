"""One process of a trial: it runs the job twice, says as JSON what came of each, and ends where it is told to."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from lakehouse.certify.failing import fail_in_python


def _trial(told: dict[str, Any]) -> int:
    """Run the job that a trial tells of, then once more; the greater exit code.

    Args:
        told: the arguments of ``prepare``, what of each source is another one, and where files are.
    """
    from lakehouse.certify.inputs import applied
    from lakehouse.runtime.runner import execute
    from lakehouse.runtime.session import start
    from lakehouse.runtime.workplace import prepare

    code = 0
    spark = None
    for _ in range(2):
        work = prepare(told["job"], root=Path(told["root"]), **told["where"])
        work = replace(work, job=applied(work.job, told["sources"]), folders={**work.folders, **told["folders"]})
        spark = spark or start(work.job.job, work.settings)
        result = execute(work, spark=spark)
        print(json.dumps(result.as_json(), default=str), flush=True)  # noqa: T201 -- its parent reads it
        code = max(code, result.error.exit_code if result.error else 0)
    return code


if __name__ == "__main__":
    fail_in_python()
    sys.exit(_trial(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
