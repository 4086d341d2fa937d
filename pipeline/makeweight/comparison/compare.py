"""Comparison of all arms: means, paired differences and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from makeweight.comparison import sentences
from makeweight.comparison.classes import class_gains
from makeweight.comparison.inference import ALPHA, mcnemar_p
from makeweight.comparison.influence import Contributions, contributions
from makeweight.comparison.remedies import disagreements
from makeweight.comparison.result import ContrastResult
from makeweight.comparison.sentences import based_on, contrast_text, explanations, in_brief, other_base, other_fractions
from makeweight.comparison.test_sets import TestSet
from makeweight.core.choices import NOTHING_CHOSEN, Choices, automatic_choice
from makeweight.core.data import Labels
from makeweight.core.errors import BadInput
from makeweight.core.metrics import OVERALL, RECALL
from makeweight.core.parameters import Parameters
from makeweight.core.sample_quality import SampleQuality
from makeweight.core.study import (
    Arm,
    Contrast,
    arms,
    arms_with_one_generator,
    contrasts,
    control_arms,
    is_automatic,
    other_contrasts,
    primary,
)
from makeweight.core.text import readable, rounded
from makeweight.runtime import plots
from makeweight.runtime.artifacts import (
    ARM,
    ARMS,
    CLASS,
    CLASS_GAINS,
    COMPARISON,
    FEW,
    GAIN,
    GROUPS,
    HIGH,
    LABELS,
    LOW,
    MEAN,
    METRIC,
    ONE_GENERATOR,
    PREDICTIONS,
    RECALL_OF_CLASS,
    REFERENCE,
    REPLICATE,
    SAMPLE_QUALITY,
    SCORES,
    SD,
    SPLIT,
    VALUE,
    replicate_name,
)
from makeweight.runtime.files import atomic_files, read_arrays, read_json, save_picture, write_csv, write_json

DECIMALS = 4  # in metrics.json, so that rounding errors of another processor do not fill a diff
METRICS_OF_CONTRAST = ("gain", "low", "high", "verdict")  # in metrics.json, for a tested contrast
FEW_IMAGES = 30  # test images of a class below which its recall is imprecise


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        arms: arm, split, metric, class (of a recall), images (of that class, or all), few (whether they are fewer than
            30), mean, sd, replicates.
        results: one for each contrast: the primary one, the other tested ones, the untested ones.
        classes: arm, reference, class, images, groups, reference_recall, recall, gain, low, high, level: for each
            tested contrast, the difference in recall of each class that has test images, with simultaneous intervals;
            none for automatic arms that chose no synthetic images.
        scores: the rows of every `scores.csv`, with a first column `arm`.
        metric: that arms are compared by.
        test_set: size of the test set, and the weight of a single image.
        basis: sentences on the number of runs and of test and training images, on choices, and on controls about
            which metrics disagree.
        explanations: what was compared, a sentence for each term.
        mcnemar: for each contrast in `classes`, McNemar's p of the two models of replicate 0.
        warnings: sentences on the generated images.
        variance: arm, sd, sd_one_generator, generator_share, low, high: the share of an arm's variance
            over replicates that is due to its generator, for the families in `one_generator`.
    """

    arms: pd.DataFrame
    results: list[ContrastResult]
    classes: pd.DataFrame
    scores: pd.DataFrame
    metric: str
    test_set: TestSet
    basis: list[str]
    explanations: dict[str, str]
    mcnemar: dict[str, float]
    warnings: list[str]
    variance: pd.DataFrame

    @property
    def contrasts(self) -> pd.DataFrame:
        """A row for each contrast, with all its figures."""
        return pd.DataFrame([result.figures() for result in self.results])


def compare(parameters: Parameters, runs: Path, models: Path, choices: Choices = NOTHING_CHOSEN) -> Comparison:
    """Read scores and predictions of every arm below `runs`, and compare.

    Args:
        parameters: of the study, with the chosen control.
        runs: a folder for each arm.
        models: gives the warnings of the generators.
        choices: of budgets and control, for the sentences that name them.

    Raises:
        BadInput: an arm or some of its replicates are missing, or arms were tested on different images.
    """
    scores = pd.concat([_scores_of_arm(runs, arm, parameters) for arm in arms(parameters)], ignore_index=True)
    labels, groups, predictions = _predictions(runs, arms(parameters), parameters.replicates)
    metric, margin = parameters.compare.metric, parameters.compare.margin
    by_arm = {arm: contributions(metric, labels, predicted) for arm, predicted in predictions.items()}
    correct = {arm: predicted[0] == labels for arm, predicted in predictions.items()}
    table = _arms_table(scores, labels)
    test_set = TestSet(_images_of_classes(table), len(np.unique(groups)), metric, margin)
    results = _results(parameters, by_arm, groups, choices)
    nothing_to_test = [result.contrast for result in results if result.without_synthetic_images]
    tested = [contrast for contrast in contrasts(parameters) if contrast not in nothing_to_test]
    return Comparison(
        arms=table,
        results=results,
        classes=_classes(tested, list(test_set.images), labels, groups, predictions),
        scores=scores,
        metric=metric,
        test_set=test_set,
        basis=[
            *based_on(test_set, parameters.replicates, parameters.generate),
            *other_fractions(choices, parameters.generate),
            *other_base(parameters),
            *sentences.chosen(parameters, choices),
            *disagreements(scores, control_arms(parameters)),
        ],
        explanations=explanations(parameters, test_set),
        mcnemar={
            str(contrast): mcnemar_p(correct[contrast.arm], correct[contrast.reference], groups) for contrast in tested
        },
        warnings=_warnings(parameters, models),
        variance=_variance(parameters, runs, scores),
    )


def _warnings(parameters: Parameters, models: Path) -> list[str]:
    warnings = []
    for name in parameters.generators:
        path = models / name / SAMPLE_QUALITY
        if not path.exists():
            raise BadInput(f"{path} is missing: run train-generator --family {name}")
        warnings += SampleQuality.of(**read_json(path)).warnings(parameters.monitor)
    return warnings


def _results(
    parameters: Parameters, by_arm: Mapping[Arm, Contributions], groups: Labels, choices: Choices
) -> list[ContrastResult]:
    """The results of all contrasts: the primary one, the other tested ones, the untested ones.

    Without the untested contrast of an automatic arm that chose no synthetic images and the control arm that it is.
    """
    same = [
        Contrast(arm, Arm(choice.chosen.source, arm.transform))
        for arm, choice in choices.automatic.items()
        if not choice.chosen.has_synthetic_images
    ]
    tested, primary_contrast = contrasts(parameters), primary(parameters)
    sharing_alpha = len(tested) - (primary_contrast is not None)
    results = []
    for contrast in sorted(tested, key=lambda contrast: contrast != primary_contrast):
        is_primary = contrast == primary_contrast
        tests = 1 if is_primary else sharing_alpha
        automatic = is_automatic(contrast.arm.source)
        chosen = automatic_choice(contrast.arm, choices).chosen if automatic else None
        results.append(
            ContrastResult.of(
                contrast, parameters.compare, by_arm, groups, tests=tests, primary=is_primary, chosen=chosen
            )
        )
    for contrast in other_contrasts(parameters):
        if contrast in same:
            continue
        results.append(ContrastResult.of(contrast, parameters.compare, by_arm, groups, tests=0))
    return results


def _classes(
    tested: Sequence[Contrast], names: Sequence[str], labels: Labels, groups: Labels, predictions: Mapping[Arm, Labels]
) -> pd.DataFrame:
    rows = [
        {ARM: str(contrast.arm), REFERENCE: str(contrast.reference), CLASS: names[row.label], "images": row.images,
         GROUPS: row.groups, "reference_recall": row.reference_recall, "recall": row.recall, GAIN: row.gain,
         LOW: row.interval.low, HIGH: row.interval.high, "level": row.interval.level}
        for contrast in tested
        for row in class_gains(labels, groups, predictions[contrast.arm], predictions[contrast.reference])
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _images_of_classes(table: pd.DataFrame) -> dict[str, int]:
    rows = table[(table[SPLIT] == "test") & (table[METRIC] == RECALL_OF_CLASS) & (table[ARM] == table[ARM].iloc[0])]
    return {str(name): int(images) for name, images in zip(rows[CLASS], rows["images"], strict=True)}


def _scores_of_arm(runs: Path, arm: Arm, parameters: Parameters) -> pd.DataFrame:
    path, remedy = runs / str(arm) / SCORES, f"run {arm.stage} for {arm}"
    return _scores(path, arm, parameters.replicates, remedy, "remove its source or transform from the parameters")


def _scores(path: Path, arm: Arm, replicates: int, remedy: str, otherwise: str) -> pd.DataFrame:
    """The table of scores in `path` with a first column `arm`; the errors name what to do where it is not complete."""
    if not path.exists():
        raise BadInput(f"{path} is missing: {remedy}, or {otherwise}")
    # As text: class names may look like numbers or like missing values ("nan").
    table = pd.read_csv(path, dtype={METRIC: str, SPLIT: str}, keep_default_na=False)
    if set(table[REPLICATE]) != set(range(replicates)):
        raise BadInput(f"{path} holds {table[REPLICATE].nunique()} replicates, not {replicates}: {remedy} again")
    table.insert(0, ARM, str(arm))
    return table


def _predictions(runs: Path, study_arms: list[Arm], replicates: int) -> tuple[Labels, Labels, dict[Arm, Labels]]:
    """Labels and groups of the test images, int64 [images], and each arm's predictions, int64 [replicates, images]."""
    predictions: dict[Arm, Labels] = {}
    labels: Labels | None = None
    groups: Labels | None = None
    for arm in study_arms:
        path = runs / str(arm) / PREDICTIONS
        if not path.exists():
            raise BadInput(f"{path} is missing: run {arm.stage} for {arm} again")
        arrays = read_arrays(path)
        if GROUPS not in arrays:
            raise BadInput(f"{path} holds no groups of test images: run {arm.stage} for {arm} again")
        labels = arrays[LABELS] if labels is None else labels
        groups = arrays[GROUPS] if groups is None else groups
        if not (np.array_equal(arrays[LABELS], labels) and np.array_equal(arrays[GROUPS], groups)):
            raise BadInput(f"{path} is of other test images than {runs / str(study_arms[0])}: run {arm.stage} again")
        predictions[arm] = np.stack([arrays[replicate_name(k)] for k in range(replicates)]).astype(np.int64)
        if predictions[arm].ndim > 1 + labels.ndim:
            raise BadInput(f"{path} holds probabilities instead of classes: run {arm.stage} for {arm} again")
    assert labels is not None
    assert groups is not None
    return labels, groups, predictions


def _arms_table(scores: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    grouped = scores.groupby([ARM, SPLIT, METRIC], sort=False)[VALUE]
    table = grouped.agg(mean="mean", sd="std", replicates="size").reset_index()
    is_recall = ~table[METRIC].isin(OVERALL)
    table.insert(3, CLASS, table[METRIC].str.removeprefix(RECALL).where(is_recall, ""))
    table[METRIC] = table[METRIC].where(~is_recall, RECALL_OF_CLASS)
    names = table[CLASS][is_recall].unique()
    images = dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True)) | {"": len(labels)}
    on_test = table[SPLIT] == "test"
    table.insert(4, "images", table[CLASS].map(images).where(on_test).astype("Int64"))
    table.insert(5, FEW, (table["images"] < FEW_IMAGES).fillna(value=False) & is_recall)
    return table


def _variance(parameters: Parameters, runs: Path, scores: pd.DataFrame) -> pd.DataFrame:
    columns = ["arm", "sd", "sd_one_generator", "generator_share", "low", "high"]
    rows = [_generator_share(arm, runs, scores, parameters) for arm in arms_with_one_generator(parameters)]
    return pd.DataFrame(rows, columns=columns)


def _generator_share(arm: Arm, runs: Path, scores: pd.DataFrame, parameters: Parameters) -> dict[str, object]:
    path = runs / ONE_GENERATOR / str(arm) / SCORES
    remedy = f"run train-one-generator --family {arm.source} --transform {arm.transform}"
    table = _scores(path, arm, parameters.replicates, remedy, f"remove {arm.source} from one_generator")
    metric = parameters.compare.metric
    own = scores[(scores[ARM] == str(arm)) & (scores[SPLIT] == "test") & (scores[METRIC] == metric)][VALUE]
    fixed = table[(table[SPLIT] == "test") & (table[METRIC] == metric)][VALUE]
    low, share, high = generator_share(own.to_numpy(), fixed.to_numpy())
    return {"arm": str(arm), "sd": float(own.std(ddof=1)), "sd_one_generator": float(fixed.std(ddof=1)),
            "generator_share": share, "low": low, "high": high}  # fmt: skip


def generator_share(own: NDArray[np.float64], fixed: NDArray[np.float64]) -> tuple[float, float, float]:
    """The share of an arm's variance over replicates that is due to its generator, within its 95% interval.

    The ratio of two variances is F-distributed where the samples are independent (Snedecor & Cochran 1989, section
    6.12). These are not: classifiers of equal number have the same seed, and those of replicate 0 are the same. Such
    positive correlation makes the ratio vary less, so that the interval covers the share with at least 95%.

    Args:
        own: the metric of each replicate with its own generator, float [replicates].
        fixed: the same with the generator of replicate 0, float [replicates].

    Returns:
        lower limit, share, upper limit, each in [0, 1]; NaN where either variance is zero.
    """
    total, classifiers = float(own.var(ddof=1)), float(fixed.var(ddof=1))
    if min(total, classifiers) <= np.finfo(float).eps:
        return float("nan"), float("nan"), float("nan")
    ratio, factor = classifiers / total, float(stats.f.isf(ALPHA / 2, len(fixed) - 1, len(own) - 1))
    low, share, high = (min(1.0, max(0.0, 1 - part)) for part in (ratio * factor, ratio, ratio / factor))
    return low, share, high


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Write `metrics.json`, `arms.csv`, `classes.csv`, `contrasts.csv`, `comparison.json`, `arms.png` into `out`."""
    with atomic_files(out) as folder:
        write_json(folder / "metrics.json", _metrics(comparison))
        write_csv(folder / ARMS, comparison.arms)
        write_csv(folder / CLASS_GAINS, comparison.classes)
        write_csv(folder / "contrasts.csv", comparison.contrasts)
        write_json(folder / COMPARISON, _all_figures(comparison))
        label = f"dots: replicates, joined by lines; bars: means\n{readable(comparison.metric)} on test images"
        save_picture(plots.arms(on_test_images(comparison), label), folder / "arms.png")


def _metrics(comparison: Comparison) -> dict[str, Any]:
    """The figures to compare between experiments; `dvc metrics show` makes a column of each."""
    table, metric = comparison.arms, comparison.metric
    metrics: dict[str, Any] = {"arms": {}, "contrasts": {}}
    for row in table[(table[SPLIT] == "test") & (table[METRIC] == metric)].to_dict("records"):
        metrics["arms"][row[ARM]] = {metric: {key: round(row[key], DECIMALS) for key in (MEAN, SD)}}
    for result in comparison.results:
        if result.tested:
            figures = {key: result.figures()[key] for key in METRICS_OF_CONTRAST}
            known = {key: value for key, value in figures.items() if value is not None}
            metrics["contrasts"][str(result.contrast)] = {result.metric: rounded(known, DECIMALS)}
    return metrics


def _all_figures(comparison: Comparison) -> dict[str, Any]:
    """All figures and sentences that the report may show, at the precision of the tables."""
    overall = comparison.scores[comparison.scores[METRIC].isin(OVERALL)]
    values: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in overall.itertuples():
        of_arm = values.setdefault(str(row.arm), {}).setdefault(str(row.split), {})
        of_arm.setdefault(str(row.metric), []).append(float(str(row.value)))
    results = [
        {
            **rounded(result.figures(), 9),
            "differences": (result.differences.round(9) + 0.0).tolist(),
            "margin": result.margin,
            "mcnemar_p": comparison.mcnemar.get(str(result.contrast)),
            **({**asdict(contrast_text(result)), "brief": in_brief(result)} if result.tested else {}),
        }
        for result in comparison.results
    ]
    test_set = comparison.test_set
    return {
        "metric": comparison.metric,
        "basis": comparison.basis,
        "explanations": comparison.explanations,
        "test_set": {"images": dict(test_set.images), GROUPS: test_set.groups, "coarse": test_set.coarse},
        "values": values,
        "contrasts": results,
        "warnings": comparison.warnings,
        "variance": [rounded(row, 9) for row in _records(comparison.variance)],
    }


def _records(table: pd.DataFrame) -> list[Mapping[str, Any]]:
    """Rows as plain values; None stands for NaN, which JSON does not have."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def on_test_images(comparison: Comparison) -> pd.DataFrame:
    """The metric that arms are compared by, in percent: a row for each replicate, a column for each arm in order."""
    scores = comparison.scores
    rows = scores[(scores[SPLIT] == "test") & (scores[METRIC] == comparison.metric)]
    return 100 * rows.pivot(index=REPLICATE, columns=ARM, values=VALUE)[list(dict.fromkeys(rows[ARM]))]
