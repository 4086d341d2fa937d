"""Names of the files that one package writes and another reads, and of the folders beside them."""

from pathlib import Path

CACHE = Path(".makeweight/cache")  # finished replicates
CHECKPOINTS = Path(".makeweight/checkpoints")  # what killed trainings go on from
LOGS = Path("logs")  # times and rates

IMAGES = "images.npy"  # in the folder of a split

# results/
DATA_REPORT_JSON, DATA_REPORT_TABLE = "data_report.json", "data_report.md"
COMPARISON, ARMS = "comparison.json", "arms.csv"

# models/<family>/
SAMPLERS = "samplers"
CARD = "README.md"  # also in data/synthetic/<family>/
HISTORY, FRAMES = "history.csv", "frames.npz"  # the history also in runs/<arm>/

# runs/<arm>/
SCORES, PREDICTIONS, VARIANCE = "scores.csv", "predictions.npz", "variance.csv"
LABELS, GROUPS = "labels", "groups"  # in predictions.npz, beside an array for each replicate


def replicate_name(number: int) -> str:
    """What the folder of a replicate, and its array in predictions.npz, is called."""
    return f"replicate_{number}"
