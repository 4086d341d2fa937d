"""`makeweight clean`: empty the cache of finished replicates and delete the checkpoints of unfinished ones."""

from makeweight.commands.command import app, command


@command
def clean() -> str:
    """Delete the cache of replicates and all checkpoints."""
    import shutil

    from makeweight.runtime.artifacts import CACHE, CHECKPOINTS, PIXEL_HASHES
    from makeweight.runtime.files import IN_USE, TEMPORARY
    from makeweight.runtime.processes import locked

    with locked(IN_USE, "a training"):
        entries = list(CACHE.iterdir()) if CACHE.exists() else []
        for folder in (CACHE, CHECKPOINTS, PIXEL_HASHES, TEMPORARY):
            shutil.rmtree(folder, ignore_errors=True)
    return f"removed {len(entries)} finished replicates from {CACHE}, and all checkpoints"


main = app(clean)
