"""Names of files, folders and columns that several packages share."""

from pathlib import Path

CACHE = Path(".makeweight/cache")  # finished replicates
CHECKPOINTS = Path(".makeweight/checkpoints")  # from which killed trainings resume
PIXEL_HASHES = Path(".makeweight/pixels")  # hashes of the pixels of splits
LOGS = Path("logs")  # times and rates

# data/<split>/ and data/synthetic/<family>/replicate_<k>/
SYNTHETIC_FOLDER = "synthetic"
IMAGES, IMAGE_LABELS, CLASSES, METADATA = "images.npy", "labels.npy", "classes.json", "metadata.csv"
JSON_METADATA = "metadata.jsonl"  # the same in folders for Hugging Face's `imagefolder`
GROUP = "group"  # column of metadata.csv
FILTERED = "filters.json"  # beside synthetic images that were filtered: how many were drawn, kept and dropped

# results/
DATA_REPORT_JSON, DATA_REPORT_TABLE = "data_report.json", "data_report.md"
CHOICES = "choices.json"  # what was chosen on validation images
COMPARISON, ARMS = "comparison.json", "arms.csv"
ARM, CLASS, MEAN, SD, FEW = "arm", "class", "mean", "sd", "few"  # columns of arms.csv, beside those of scores.csv
RECALL_OF_CLASS = "recall"  # metric in arms.csv
CLASS_GAINS = "classes.csv"  # differences in recall
REFERENCE, GAIN, LOW, HIGH = "reference", "gain", "low", "high"  # columns of classes.csv, beside "arm" and "class"

# results/assessment/<family>/
ASSESSMENT_FOLDER = "assessment"
ASSESSMENT_NOTE = "README.md"  # beside the folders of the families
ASSESSMENT, ASSESSMENT_METRICS = "assessment.json", "metrics.json"
NEAREST, CLOSEST, RANKED = "nearest.png", "closest.png", "ranked.png"  # pictures of the images of replicate 0

# models/<family>/
SAMPLERS = "samplers"
SAMPLER = "makeweight.json"  # in each replicate's folder: family, classes and images, for use without the project
CARD = "README.md"  # also in data/synthetic/<family>/
SAMPLE_QUALITY = "sample_quality.json"  # figures of generated images, class by class
HISTORY, FRAMES = "history.csv", "frames.npz"  # the history also in runs/<arm>/
STEP = "step"  # column of history.csv, beside REPLICATE and, in runs/<arm>/, STEPS: the budget

# runs/<arm>/
ONE_GENERATOR = "one_generator"  # runs/one_generator/<arm>/: the arm with one generator for all replicates
SCORES, PREDICTIONS, CONFUSION = "scores.csv", "predictions.npz", "confusion.csv"
REPLICATES = "replicates"  # folder of finished replicates, which a later run reuses
REPLICATE, STEPS, SPLIT, METRIC, VALUE = "replicate", "steps", "split", "metric", "value"  # columns of scores.csv
CLASSIFIER, WEIGHTS = "classifier.json", "classifier.safetensors"  # in each replicate's folder
LABELS, GROUPS = "labels", "groups"  # in predictions.npz, beside an array for each replicate: of test images
VALIDATION = "validation_"  # prefix of the same arrays of validation images


def replicate_name(number: int) -> str:
    """Name of the folder of a replicate, and of its array in predictions.npz."""
    return f"{REPLICATE}_{number}"
