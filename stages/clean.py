"""`makeweight clean`: empty the cache of finished replicates."""

from stages.command import app, command


@command
def clean() -> str:
    """Empty the cache of finished replicates."""
    import shutil

    from pipeline.storage import CACHE

    entries = list(CACHE.iterdir()) if CACHE.exists() else []
    shutil.rmtree(CACHE, ignore_errors=True)
    return f"removed {len(entries)} finished replicates from {CACHE}"


if __name__ == "__main__":
    app(clean)()
