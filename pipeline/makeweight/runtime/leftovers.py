"""Removal of outputs of arms and families that the parameters do not name any more.

`compare` and `report` depend on whole folders. What an earlier choice of arms has left there would be part of the hash
that DVC keeps of them, and missing in a fresh clone.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path

from makeweight.core.plugins import NAME
from makeweight.runtime.artifacts import CARD, HISTORY, PREDICTIONS, SAMPLERS, SCORES, VARIANCE
from makeweight.runtime.progress import log_line

RUNS = {HISTORY, PREDICTIONS, SCORES, "confusion.csv", VARIANCE, "replicates"}
MODELS = {CARD, HISTORY, "history.png", "learning.png", SAMPLERS}
SYNTHETIC = {CARD, "replicate"}
NAMES = re.compile(rf"{NAME.pattern}(-{NAME.pattern})?")  # of a family, of an arm
GITIGNORE = ".gitignore"  # DVC may write one


def remove_others(folder: Path, named: Collection[str], outputs: Collection[str]) -> None:
    """Remove the sub-folders of `folder` that are not `named`; say which, and what else is there and was left alone.

    Only what looks like an output is removed: a folder, no link, with the name of an arm or a family, that holds
    nothing but `outputs`.

    Args:
        folder: of an output of each arm or family; may be missing.
        named: the arms or families of the parameters.
        outputs: the names of what such an output holds, without "_<k>" for replicate k.
    """
    others = sorted(path for path in folder.glob("*") if path.name not in {*named, GITIGNORE})
    removed = [path for path in others if _is_output(path, outputs)]
    for path in removed:
        shutil.rmtree(path)
    if removed:
        log_line(f"{folder}: removed {_listed(removed)}, which the parameters do not name")
    if left := [path for path in others if path not in removed]:
        log_line(f"{folder}: left {_listed(left)} alone: not an output of Makeweight, yet DVC hashes it: move it away")


def _is_output(path: Path, outputs: Collection[str]) -> bool:
    if path.is_symlink() or not path.is_dir() or not NAMES.fullmatch(path.name):
        return False
    return all(re.sub(r"_\d+$", "", inner.name) in {*outputs, GITIGNORE} for inner in path.iterdir())


def _listed(paths: Collection[Path]) -> str:
    return ", ".join(path.name for path in paths)
