"""Removal of outputs of arms and families that are no longer in the parameters.

`compare`, `report`, `train-auto` and `train-union` depend on whole folders. Outputs of earlier arms would be part of
DVC's hash of the folder, and missing in a fresh clone.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path

from makeweight.core.plugins import NAME
from makeweight.runtime.artifacts import (
    ASSESSMENT,
    ASSESSMENT_METRICS,
    CARD,
    CLOSEST,
    CONFUSION,
    HISTORY,
    NEAREST,
    PREDICTIONS,
    RANKED,
    REPLICATE,
    REPLICATES,
    SAMPLE_QUALITY,
    SAMPLERS,
    SCORES,
)
from makeweight.runtime.progress import log_line

RUNS = {HISTORY, PREDICTIONS, SCORES, CONFUSION, REPLICATES, "variance.csv"}  # the last one: of 0.1
MODELS = {CARD, HISTORY, "history.png", "learning.png", SAMPLERS, SAMPLE_QUALITY}
SYNTHETIC = {CARD, REPLICATE}
ASSESSMENTS = {ASSESSMENT, ASSESSMENT_METRICS, CLOSEST, NEAREST, RANKED}
NAMES = re.compile(rf"{NAME.pattern}((\+{NAME.pattern})*-{NAME.pattern})?")  # of a family, of an arm
GITIGNORE = ".gitignore"  # DVC may write it


def remove_others(folder: Path, current: Collection[str], outputs: Collection[str]) -> None:
    """Remove the subfolders of `folder` that are not `current`; log them, and what is kept.

    Only outputs are removed: folders, not links, with the name of an arm or a family, that hold nothing but `outputs`.

    Args:
        folder: holds a subfolder for each arm or family; may be missing.
        current: the arms or families in the parameters, and what else belongs there.
        outputs: the names of the files in such a subfolder, without "_<k>" for replicate k.
    """
    others = sorted(path for path in folder.glob("*") if path.name not in {*current, GITIGNORE})
    removed = [path for path in others if _is_output(path, outputs)]
    for path in removed:
        shutil.rmtree(path)
    if removed:
        log_line(f"{folder}: removed {_listed(removed)}, which the parameters do not name")
    if kept := [path for path in others if path not in removed]:
        log_line(
            f"{folder}: kept {_listed(kept)}, which DVC hashes with it, but Makeweight did not write: move it away"
        )


def _is_output(path: Path, outputs: Collection[str]) -> bool:
    if path.is_symlink() or not path.is_dir() or not NAMES.fullmatch(path.name):
        return False
    return all(re.sub(r"_\d+$", "", inner.name) in {*outputs, GITIGNORE} for inner in path.iterdir())


def _listed(paths: Collection[Path]) -> str:
    return ", ".join(path.name for path in paths)
