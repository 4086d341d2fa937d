"""Named random streams, each independent of what is drawn from the others."""

import hashlib

import numpy as np


def derive(seed: int, *name: str | int) -> int:
    """The seed (63 bits) of the stream `name`, for instance `derive(0, "batches", replicate)`.

    Hashed instead of added, so that the streams of seed 0, replicate 1 and of seed 1, replicate 0 differ.
    """
    text = "/".join(str(part) for part in (seed, *name))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *name: str | int) -> np.random.Generator:
    """A NumPy generator for the stream `name`."""
    return np.random.default_rng(derive(seed, *name))
