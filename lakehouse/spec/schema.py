"""The JSON Schema of a job's YAML, by which an editor completes and checks it.

``python -m lakehouse.spec.schema > conf/schema.json`` writes it anew.
"""

from __future__ import annotations

import json
import sys

from lakehouse.spec.job import Job


def schema() -> str:
    """The schema as text, as ``conf/schema.json`` holds it."""
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Job.model_json_schema()}
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
