"""Hashes of the pixels of splits, computed once for each state of a file.

Every stage needs the hashes for its fingerprints. A hash stored beside the pixels would survive an edit of them, so
that hashes are kept in `.makeweight/pixels` with the state of the file: size, inode, and the times of modification and
of status change in ns, as in Git's index.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict

from makeweight.core.data import Split
from makeweight.runtime.artifacts import PIXEL_HASHES
from makeweight.runtime.files import atomic_files, file_state, read_json, write_json

# A file that changed less than this before it was hashed could change again without another time ("racily clean" in
# Git). File systems store times in steps of up to two seconds (FAT).
RECENT = 2_000_000_000  # ns


def pixel_hash(split: Split) -> str:
    """Hash of the pixels of `split`, in hexadecimal digits.

    Pixels that are mapped from a file are read only if the file has changed since their hash was stored.
    """
    state = split.file
    if state is None or file_state(state.path) != state:
        return _compute(split)
    entry = PIXEL_HASHES / f"{hashlib.sha256(str(state.path).encode()).hexdigest()}.json"
    known = {**asdict(state), "path": str(state.path)}
    try:
        stored = read_json(entry)
        if {name: stored[name] for name in known} == known:
            return str(stored["hash"])
    except (OSError, ValueError, KeyError, TypeError):  # missing or damaged
        pass
    start = time.time_ns()
    pixels = _compute(split)
    if file_state(state.path) == state and max(state.modified, state.changed) < start - RECENT:
        with atomic_files(PIXEL_HASHES) as folder:
            write_json(folder / entry.name, {**known, "hash": pixels})
    return pixels


def _compute(split: Split) -> str:
    pixels = split.images.data if split.images.flags.c_contiguous else split.images.tobytes()
    return hashlib.sha256(pixels).hexdigest()
