"""An environment of their own for what this library is measured against, on the same pyspark and Delta."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

REQUIREMENTS = Path(__file__).parent.parent / "requirements-peers.txt"


def environment(cache: Path) -> Path | None:
    """Its Python, installed if need be; None where it cannot be, which pip says on stderr."""
    place = cache / "peers"
    python = place / "bin" / "python"
    same = "".join(f"{name}=={metadata.version(name)}\n" for name in ("pyspark", "delta-spark"))
    stamp = hashlib.sha256((REQUIREMENTS.read_text(encoding="utf-8") + same).encode()).hexdigest()
    if (place / "stamp").exists() and (place / "stamp").read_text(encoding="utf-8") == stamp:
        return python
    print("installing the peers: a minute, or more on a slow line", file=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        (place / "constraints.txt").write_text(same, encoding="utf-8")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS]
        subprocess.run([*pip, "-c", place / "constraints.txt"], check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"the peers cannot be installed: {error}", file=sys.stderr)
        return None
    (place / "stamp").write_text(stamp, encoding="utf-8")
    return python
