"""`makeweight clean`: empty the cache of finished replicates."""

from stages.command import command, main


@command
def clean() -> str:
    """Remove the finished replicates in .makeweight/cache; results stay."""
    import shutil

    from pipeline.storage import CACHE

    entries = list(CACHE.iterdir()) if CACHE.exists() else []
    shutil.rmtree(CACHE, ignore_errors=True)
    return f"removed {len(entries)} finished replicates from {CACHE}"


if __name__ == "__main__":
    main(clean)
