"""Duration and peak memory of the default run, and duration of a second `dvc repro`.

python -m benchmarks.default_repro [FOLDER]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.workspace import PROJECT, peak_gib, timed


def main(folder: Path) -> None:
    """Measure in a fresh clone below `folder`."""
    clone = folder / "makeweight"
    subprocess.run(["git", "clone", "-q", str(PROJECT), str(clone)], check=True)
    (clone / ".venv").symlink_to(sys.prefix)
    # As `make repro` on a fresh clone: dvc.lock exists, the outputs do not.
    first = timed("dvc", "repro", cwd=clone)
    peak = peak_gib()
    second = min(timed("dvc", "repro", cwd=clone) for _ in range(3))
    print(f"\n{time.strftime('%Y-%m-%d')}: dvc repro of the default {first:.0f} s (at most 300)")
    print(f"largest process {peak:.2f} GiB (at most 2); a second dvc repro {second:.1f} s (at most 2)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
