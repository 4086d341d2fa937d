"""Names of files and folders that several packages share."""

from pathlib import Path

CACHE = Path(".makeweight/cache")  # finished replicates
CHECKPOINTS = Path(".makeweight/checkpoints")  # from which killed trainings resume
LOGS = Path("logs")  # times and rates

IMAGES = "images.npy"  # in the folder of a split

# results/
DATA_REPORT_JSON, DATA_REPORT_TABLE = "data_report.json", "data_report.md"
CHOICES = "choices.json"  # what was chosen on validation images
COMPARISON, ARMS = "comparison.json", "arms.csv"

# models/<family>/
SAMPLERS = "samplers"
CARD = "README.md"  # also in data/synthetic/<family>/
HISTORY, FRAMES = "history.csv", "frames.npz"  # the history also in runs/<arm>/

# runs/<arm>/
SCORES, PREDICTIONS, VARIANCE = "scores.csv", "predictions.npz", "variance.csv"
LABELS, GROUPS = "labels", "groups"  # in predictions.npz, beside an array for each replicate


def replicate_name(number: int) -> str:
    """Name of the folder of a replicate, and of its array in predictions.npz."""
    return f"replicate_{number}"
