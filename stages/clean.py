"""`makeweight clean`: empty the cache of finished replicates, and forget unfinished ones."""

from stages.command import app, command


@command
def clean() -> str:
    """Empty the cache of finished replicates, and forget unfinished ones."""
    import shutil

    from pipeline.processes import locked
    from pipeline.storage import CACHE, CHECKPOINTS, IN_USE, TEMPORARY

    with locked(IN_USE, "a training"):
        entries = list(CACHE.iterdir()) if CACHE.exists() else []
        for folder in (CACHE, CHECKPOINTS, TEMPORARY):
            shutil.rmtree(folder, ignore_errors=True)
    return f"removed {len(entries)} finished replicates from {CACHE}, and all that was unfinished"


if __name__ == "__main__":
    app(clean)()
