"""The comparison for a user's own training function: pairs of trainings over replicates, and a verdict."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from rich.console import Console
from rich.progress import track

from makeweight.comparison.influence import contributions
from makeweight.comparison.result import ContrastResult
from makeweight.comparison.sentences import contrast_text
from makeweight.comparison.variance_components import variance_components
from makeweight.core.data import Labels
from makeweight.core.errors import BadInput
from makeweight.core.metrics import OVERALL, Metric
from makeweight.core.seeds import derive
from makeweight.core.study import Arm, Contrast
from makeweight.core.text import counted
from makeweight.runtime.artifacts import replicate_name
from makeweight.runtime.files import atomic_files, read_arrays, read_json, write_arrays, write_json

Fit = Callable[[Any, int], Any]
STUDY = "study.json"  # in the folder of finished replicates: what they were computed for
REAL, AUGMENTED = "real", "synthetic"
MOST_SEED = 2**32 - 1  # the largest seed that NumPy's and scikit-learn's older generators take


class _Side(Arm):
    """One side of the comparison, named by its source alone."""

    def __str__(self) -> str:
        return self.source


@dataclass(frozen=True)
class OwnComparison:
    """The result of `compare`.

    Attributes:
        result: estimate, intervals, tests and power of the difference.
        scores: the metric of each replicate: columns `replicate`, `real`, `synthetic` and `difference`, in [0, 1].
        scope: what the result generalises to.
    """

    result: ContrastResult
    scores: pd.DataFrame
    scope: str

    @property
    def verdict(self) -> str:
        """`helps`, `hurts`, `equivalent` or `inconclusive`."""
        return str(self.result.verdict)

    def summary(self) -> str:
        """The verdict in sentences: both means, the confidence interval, and what a conclusive study would need."""
        text = contrast_text(self.result)
        return "\n".join([text.answer, *text.sentences, self._basis(), self.scope])

    def to_frame(self) -> pd.DataFrame:
        """All figures in a table of one row, as in the pipeline's `contrasts.csv`; gains are fractions."""
        return pd.DataFrame([self.result.figures()])

    def _basis(self) -> str:
        runs = counted(len(self.scores), "pair of trainings", "pairs of trainings")
        return f"Based on {runs} and {counted(self.result.images, 'test image')}."

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        answer, *sentences = self.summary().splitlines()
        paragraphs = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
        table = (100 * self.scores.set_index("replicate")).round(2).to_html(border=0)
        return f"<b>{html.escape(answer)}</b>{paragraphs}{table}"


def compare(
    real: Any,
    augmented: Any,
    fit: Fit,
    *,
    test: Any,
    groups: ArrayLike | None = None,
    replicates: int = 5,
    metric: Metric = "balanced_accuracy",
    margin: float = 0.01,
    seed: int = 0,
    folder: Path | str | None = None,
) -> OwnComparison:
    """Train with and without synthetic images in pairs, and test the difference as the pipeline does.

    Args:
        real: the real training set, in whatever form `fit` takes.
        augmented: the training set with synthetic images: a function of a seed that returns it (from a generator
            trained with that seed), or a list with one set for each replicate. Anything else is a single set: the
            result then holds for its generator only.
        fit: `fit(dataset, seed)` trains on `dataset` and returns the predictions of the test images: class labels [n],
            scores [n, classes] in the order of the sorted labels, or an object whose `predict(images)` returns either.
            All its randomness must come from `seed`; both trainings of a pair get the same one.
        test: the test set: a pair (images, labels), or an object with the attribute `labels` or `targets`, and
            `images` if `predict` is used. Labels may be numbers or strings.
        groups: of test images that belong together (a patient, an object), [n]; None: all are independent.
        replicates: number of pairs, at least 2.
        metric: balanced_accuracy, accuracy or macro_f1.
        margin: the smallest gain that matters, as a fraction.
        seed: of all pairs.
        folder: keeps the predictions of finished trainings, which a later call with the same test set and seed reuses.
            A change of `fit` or of the training sets is not detected: use another folder then. None: nothing is kept.

    Raises:
        BadInput: arguments do not fit together, or `fit` returned predictions of a wrong shape. The predictions of
            finished trainings are kept in `folder`.
        Exception: whatever `fit` raises, with a note that names the training.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> labels = np.repeat([0, 1], 200)
        >>> def fit(training_set, seed):  # returns predictions of the test images
        ...     correct = np.random.default_rng(seed).random(len(labels)) < training_set["accuracy"]
        ...     return np.where(correct, labels, 1 - labels)
        >>> real, augmented = {"accuracy": 0.7}, {"accuracy": 0.95}
        >>> result = compare(real, lambda seed: augmented, fit, test=(None, labels), replicates=5)
        >>> result.verdict
        'helps'
        >>> print(result.summary().splitlines()[0])
        Synthetic images help.
    """
    images, labels = _test_set(test)
    classes, truth = np.unique(labels, return_inverse=True)
    units = _groups(groups, len(truth))
    sets, scope = _augmented_sets(augmented, replicates)
    if replicates < 2:
        raise BadInput("replicates must be at least 2: a single pair has no variance to estimate")
    if metric not in OVERALL:
        raise BadInput(f"metric is {metric!r}, but must be one of {', '.join(OVERALL)}")
    if not 0 < margin < 1:
        raise BadInput(f"margin is {margin}, but must lie between 0 and 1: 0.01 is one percentage point")
    trainings = _Trainings(fit, images, classes, len(truth), seed, None if folder is None else Path(folder))
    trainings.claim(labels, units)
    predicted: dict[str, list[Labels]] = {REAL: [], AUGMENTED: []}
    for k in track(range(replicates), "pairs of trainings", console=Console(stderr=True), transient=True):
        predicted[REAL].append(trainings.predict(REAL, k, partial(_given, real)))
        predicted[AUGMENTED].append(trainings.predict(AUGMENTED, k, sets[k]))
    by_side = {side: contributions(metric, truth, np.stack(rows)) for side, rows in predicted.items()}
    difference = by_side[AUGMENTED] - by_side[REAL]
    result = ContrastResult(
        contrast=Contrast(_Side(AUGMENTED, "own"), _Side(REAL, "own")),
        metric=metric,
        margin=margin,
        tests=1,
        primary=True,
        differences=difference.values,
        components=variance_components(difference, units),
        images=len(truth),
        reference_mean=float(by_side[REAL].values.mean()),
    )
    scores = pd.DataFrame({"replicate": range(replicates)} | {side: by_side[side].values for side in predicted})
    return OwnComparison(result, scores.assign(difference=difference.values), scope)


@dataclass(frozen=True)
class _Trainings:
    """The trainings of a comparison, and the folder of their predictions."""

    fit: Fit
    images: Any
    classes: NDArray[Any]
    n: int
    seed: int
    folder: Path | None

    def claim(self, labels: NDArray[Any], groups: Labels) -> None:
        """Note in the folder what its predictions are of; refuse a folder that holds other predictions."""
        if self.folder is None:
            return
        digest = hashlib.sha256(repr(labels.tolist()).encode() + groups.tobytes()).hexdigest()
        study, path = {"test": digest, "seed": int(self.seed)}, self.folder / STUDY
        if self.folder.exists() and not self.folder.is_dir():
            raise BadInput(f"{self.folder} is a file: name a folder, which may be new")
        if path.exists() and read_json(path) != study:
            raise BadInput(f"{self.folder} holds predictions of another test set or seed: choose another folder")
        if not path.exists():
            with atomic_files(self.folder) as temporary:
                write_json(temporary / STUDY, study)

    def predict(self, side: str, replicate: int, training_set: Callable[[int], Any]) -> Labels:
        """Indices of the predicted classes, int64 [n]; from the folder if they are there."""
        name = f"{side}_{replicate_name(replicate)}.npz"
        if self.folder is not None and (self.folder / name).exists():
            return cast(Labels, read_arrays(self.folder / name)["predicted"])
        where = f"replicate {replicate}, {side} images"
        try:
            data = training_set(derive(self.seed, "generator", replicate) % MOST_SEED)
            fitted = self.fit(data, derive(self.seed, "fit", replicate) % MOST_SEED)
            answer = self._predictions(fitted) if hasattr(fitted, "predict") else fitted
        except Exception as error:
            kept = f"; finished trainings are kept in {self.folder}" if self.folder is not None else ""
            error.add_note(f"makeweight.compare: this happened in {where}{kept}")
            raise
        predicted = self._indices(_as_array(answer), where)
        if self.folder is not None:
            with atomic_files(self.folder) as temporary:
                write_arrays(temporary / name, {"predicted": predicted})
        return predicted

    def _predictions(self, fitted: Any) -> Any:
        if self.images is None:
            raise BadInput("fit returned an object with `predict`, but test holds no images: name them in test=")
        return fitted.predict(self.images)

    def _indices(self, answer: NDArray[Any], where: str) -> Labels:
        """Predictions as indices into `classes`; a label that the test set lacks is an index of its own: an error."""
        if answer.shape == (self.n, len(self.classes)):
            if not np.isfinite(answer.astype(np.float64)).all():
                raise BadInput(f"{where}: fit returned scores that are NaN or infinite")
            return cast(Labels, answer.argmax(1))
        if answer.shape != (self.n,):
            raise BadInput(
                f"{where}: fit returned an array of shape {list(answer.shape)}: it must be class labels [{self.n}] or "
                f"scores [{self.n}, {len(self.classes)}], one row for each test image"
            )
        if answer.dtype.kind != self.classes.dtype.kind and {answer.dtype.kind, self.classes.dtype.kind} & set("USO"):
            raise BadInput(
                f"{where}: fit returned labels of type {answer.dtype}, but the test labels are of type "
                f"{self.classes.dtype}, such as {self.classes[0]!r}"
            )
        if answer.dtype.kind == "f" and not np.isfinite(answer).all():
            raise BadInput(f"{where}: fit returned labels that are NaN or infinite")
        index = np.searchsorted(self.classes, answer).clip(max=len(self.classes) - 1)
        known = self.classes[index] == answer
        fractions = answer[~known & (answer % 1 != 0)] if answer.dtype.kind == "f" else answer[:0]
        if len(fractions) or not known.any():
            raise BadInput(
                f"{where}: fit returned {[*fractions, *answer][0]!s}, which is no label of the test set, such as "
                f"{self.classes[0]!s}: return labels, or scores [{self.n}, {len(self.classes)}], not the probability "
                "of one class"
            )
        return np.where(known, index, len(self.classes)).astype(np.int64)


def _test_set(test: Any) -> tuple[Any, NDArray[Any]]:
    if isinstance(test, Sequence) and len(test) == 2:
        images, labels = test
    else:
        images = getattr(test, "images", None)
        labels = getattr(test, "labels", None)
        labels = getattr(test, "targets", None) if labels is None else labels
    if labels is None:
        raise BadInput("test must be a pair (images, labels), or have an attribute `labels` or `targets`")
    array = _as_array(labels)
    if array.ndim != 1 or not len(array):
        raise BadInput(f"the test labels have the shape {list(array.shape)}: one label for each image is needed")
    if array.dtype == object or (array.dtype.kind == "f" and not np.isfinite(array).all()):
        raise BadInput("some test labels are missing, or of another type: all must be numbers, or all texts")
    if len(np.unique(array)) < 2:
        raise BadInput("all test images have the same label: no classifier can be compared on them")
    return images, array


def _groups(groups: ArrayLike | None, n: int) -> Labels:
    if groups is None:
        return np.arange(n)
    array = _as_array(groups)
    if array.shape != (n,):
        raise BadInput(f"groups has the shape {list(array.shape)}, but there are {n} test images")
    numbers: Labels = pd.factorize(array)[0].astype(np.int64)
    return numbers


def _as_array(values: Any) -> NDArray[Any]:
    """Values of any array-like, PyTorch tensors on any device included; objects as numbers or strings if all are."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # NumPy has no bfloat16
    array: NDArray[Any] = np.asarray(values)
    return np.array(array.tolist()) if array.dtype == object else array


def _augmented_sets(augmented: Any, replicates: int) -> tuple[list[Callable[[int], Any]], str]:
    if callable(augmented):
        return [augmented] * replicates, "Scope: this data, this test set, and generators trained anew in each pair."
    if isinstance(augmented, list):
        if len(augmented) != replicates:
            raise BadInput(f"augmented holds {len(augmented)} sets for {replicates} replicates: one for each is needed")
        return [
            partial(_given, item) for item in augmented
        ], "Scope: this data, this test set, and generators like those of the given sets."
    scope = "Scope: this data, this test set, and this generator only: another one may do better or worse."
    return [partial(_given, augmented)] * replicates, scope


def _given(training_set: Any, _seed: int) -> Any:
    return training_set
