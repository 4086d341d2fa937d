"""Model cards and data cards in Markdown, with the YAML header of the Hugging Face Hub.

The same facts give the same bytes: cards contain no times and no local paths. Class names are untrusted input: they are
quoted in the header and escaped in tables. No training code imports this module, so that rewording a card retrains
nothing.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from platform import python_version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter, SafeRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from makeweight.core.data import Labels, Split
from makeweight.core.parameters import FILTER_NAMES, MonitorSettings
from makeweight.core.plugins import keeps_training_images
from makeweight.core.text import in_markdown
from makeweight.generators.filters import FilterCounts
from makeweight.generators.interface import Family
from makeweight.runtime.artifacts import FILTERED
from makeweight.runtime.machine import Machine, versions
from makeweight.training.loop import MAX_ROLLBACKS

BOUNDS = {10**3: "1K", 10**4: "10K", 10**5: "100K", 10**6: "1M", 10**7: "10M", 10**8: "100M", 10**9: "1B"}
COLUMNS = ("index", "class", "label", "synthetic", "family", "replicate")  # of a synthetic image's metadata
DTYPES = {"class": "string", "synthetic": "bool", "family": "string"}  # other columns are integers, or scores
REACTIONS = {
    "rollback": f"rolled back to its last good state, with half the learning rates, at most {MAX_ROLLBACKS} times",
    "stop": "stopped, without writing a card",
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """The facts that both cards state.

    Attributes:
        family: the family's name.
        classes: class names, in the order of their labels.
        counts: training images of each class.
        size: side of the images in pixels.
        channels: 1 or 3.
        replicates: number of generators.
        seed: the seed of the pipeline.
    """

    family: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    size: int
    channels: int
    replicates: int
    seed: int

    @classmethod
    def of(cls, family: str, train: Split, *, replicates: int, seed: int) -> CardFacts:
        """The facts of `family` fitted to the images `train`."""
        return cls(family, train.classes, tuple(train.counts.tolist()), train.size, train.channels, replicates, seed)

    @property
    def shape(self) -> str:
        """The size and colour of an image, in words."""
        return f"{self.size}×{self.size} {'grey' if self.channels == 1 else 'RGB'}"

    @property
    def rows(self) -> list[tuple[int, str, int]]:
        """Label, name and training images of each class."""
        return [(label, *row) for label, row in enumerate(zip(self.classes, self.counts, strict=True))]


def releases() -> dict[str, str]:
    """Versions of the packages that results and files depend on."""
    return {
        "python": python_version(),
        "makeweight": version("makeweight"),
        **versions(),
        "safetensors": version("safetensors"),
    }


def model_card(
    facts: CardFacts,
    family: Family,
    monitor: MonitorSettings,
    packages: Mapping[str, str],
    machine: Machine,
    warnings: Sequence[str],
) -> str:
    """The model card of the generators of one family.

    Args:
        facts: the images and replicates.
        family: its settings.
        monitor: the criteria of a failed training.
        packages: the versions of the packages of the training.
        machine: the machine of the training.
        warnings: what `SampleQuality.warnings` returns.
    """
    return _card(
        _model_header(facts),
        f"# Generators of the family `{facts.family}`",
        f"{facts.replicates} class-conditional image generators, fitted to the same training images from different "
        "random seeds, so that a comparison can separate the effect of the family from the variation between its "
        "generators. Makeweight, which measures whether synthetic images improve a classifier, trained them by "
        f"`{type(family).__module__}:{type(family).__qualname__}`. Each folder `samplers/replicate_<k>/` holds one.",
        *_warnings(warnings),
        "## Training data",
        f"{sum(facts.counts)} training images, {facts.shape}. Validation images were only monitored; test images were "
        "not available to the training.",
        _table(("label", "class", "training images"), facts.rows),
        "## Training",
        "Settings of the family, as under `families` in `params.yaml`:",
        _fenced("yaml", _yaml({facts.family: _plain(family.model_dump())})),
        _table(("setting", "value"), _circumstances(facts, machine).items()),
        "Package versions; other versions may round differently and give different weights:",
        _table(("package", "version"), packages.items()),
        "## Usage",
        "With Makeweight installed, and nothing else of its project, run this in the folder of the card:",
        _fenced("python", _usage(facts)),
        "or, in a terminal:",
        _fenced("sh", "makeweight sample . --count 4 --out images.png\n"),
        "## Monitoring",
        _monitoring(monitor),
        "## Intended use and limitations",
        *([REAL_IMAGES_IN_MODEL] if keeps_training_images(facts.family) else []),
        MODEL_LIMITS,
    )


def _warnings(warnings: Sequence[str]) -> list[str]:
    return ["## Warnings", "\n".join(f"- {in_markdown(warning)}" for warning in warnings)] if warnings else []


def _model_header(facts: CardFacts) -> dict[str, Any]:
    return {
        "library_name": "makeweight",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["makeweight", _quoted(facts.family), "class-conditional", "data-augmentation"],
        "makeweight": {"family": _quoted(facts.family), "classes": [_quoted(name) for name in facts.classes]},
    }


def _circumstances(facts: CardFacts, machine: Machine) -> dict[str, object]:
    return {
        "seed": facts.seed,
        "replicates": facts.replicates,
        "device": machine.device,
        "precision of each replicate": machine.precision,
        "threads of each replicate": machine.threads,
        "processes of each replicate": machine.processes,
    }


def _usage(facts: CardFacts) -> str:
    names = [name for name, count in zip(facts.classes, facts.counts, strict=True) if count][:3]
    return f"""\
import makeweight

images = makeweight.load_sampler(".").sample({names!r}, count=4, seed=0)  # uint8 [{4 * len(names)}, {facts.size}, \
{facts.size}, {facts.channels}]
"""


def _monitoring(monitor: MonitorSettings) -> str:
    return f"""\
A family that is trained in steps was monitored at regular intervals for training failures:

- NaN or infinite losses or weights;
- discriminator saturation, if the family has a discriminator: an error of at most \
{monitor.min_discriminator_error:.4g} on training images and on generated ones, for a quarter of the training;
- mode collapse within a class: a median distance between the images drawn of the class below \
{monitor.min_diversity_ratio:.4g} of that between its real images.

In such a case the training {REACTIONS[monitor.on_divergence]} (`monitor.on_divergence: {monitor.on_divergence}`).
`history.csv` and `history.png` hold the recorded figures, `learning.png` images drawn during the training.

After the training, `sample_quality.json` states for each class how much the drawn images differ from each other, \
relative to training images and without brightness and contrast, and how many a classifier of the training images \
recognises, beside how many of the validation images. Ratios below {monitor.alarm_diversity_ratio:.4g} and \
{monitor.alarm_recognised_ratio:.4g} are warned of."""


REAL_IMAGES_IN_MODEL = """\
**The training images are inside.** Each folder `samplers/replicate_<k>/` holds all of them, and generated images are
near to them by construction. Publish the generators only if you may publish the training images."""

MODEL_LIMITS = """\
Intended for one use: generating images to train a classifier, in addition to real ones, where the same study measures
whether they help. Not intended for illustrating the classes, for evaluating a classifier, or as evidence.

- **Few training images.** Rare variation is interpolated from few examples: check the table above for the class counts.
- **Memorisation.** A generator of few images overfits and may reproduce them. Before publishing drawn images, compare
  them with their nearest training images. Do not publish the generators if the training images must stay private: the
  weights may reveal them, and some families store the images (`smote`, `warp`) or their codes (`autoencoder`).
- **Test images.** The generators have seen the images that the project's `data/train/metadata.csv` lists: these may
  not test a classifier that was trained with generated images.
- **Bias.** The generators reproduce the biases of the training images, and under-represent rare variation further.
- **Label errors.** A generated image may look like another class than its label.
- **No licence is stated**, since it depends on the licence of the training images. Add one when you publish."""


def data_card(facts: CardFacts, quota: Labels, filtered: Sequence[FilterCounts] = ()) -> str:
    """The data card of the images drawn by the generators of one family.

    Args:
        facts: the images and replicates of the generators.
        quota: images of each class that are wanted of each generator.
        filtered: the counts of each generator; empty: images were not filtered, and each generator drew the quota.
    """
    kept = np.array([counts.kept for counts in filtered] or [quota] * facts.replicates)
    total, columns = int(kept.sum()), (*COLUMNS, *(filtered[0].dropped if filtered else ()))
    numbers = (_between(of_class) for of_class in kept.T)
    rows = [(*row, n_synthetic) for row, n_synthetic in zip(facts.rows, numbers, strict=True)]
    return _card(
        _data_header(facts, total, columns),
        f"# Synthetic images by `{facts.family}`",
        f"**All images are synthetic.** {facts.replicates} generators of Makeweight's family `{facts.family}` drew "
        f"{_between(kept.sum(1))} images each, {total} in total, {facts.shape}, to train a classifier together with "
        "real images.",
        "## Contents",
        f"`replicate_<k>/` holds the images of the generator `samplers/replicate_<k>`, drawn with seed {facts.seed}. "
        f"The model card, `models/{facts.family}/README.md` in a Makeweight project, describes the generators. Numbers "
        "per replicate:",
        _table(("label", "class", "real training images", "synthetic images"), rows),
        "## Usage",
        "Images are stored in few large files. Run this in the folder of the card:",
        _fenced("python", _loading(facts, int(kept[0].sum()))),
        _metadata(columns),
        *(_filters(facts.classes, filtered) if filtered else []),
        "## Intended use and limitations",
        *([REAL_IMAGES_IN_DATA] if keeps_training_images(facts.family) else []),
        DATA_LIMITS,
    )


def _between(numbers: NDArray[np.int64]) -> str:
    """The range of a number over replicates."""
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"


def _filters(classes: Sequence[str], counts: Sequence[FilterCounts]) -> list[str]:
    names = [*counts[0].dropped]
    sums = [np.sum([getattr(each, key) for each in counts], 0) for key in ("quota", "drawn")] + [
        np.sum([each.dropped[name] for each in counts], 0) for name in names
    ]
    kept = np.sum([each.kept for each in counts], 0)
    rows = zip(classes, *(column.tolist() for column in (*sums, kept)), strict=True)
    return [
        "## Filters",
        f"Images were dropped by {' and '.join(f'`{name}`' for name in names)}, and others drawn in their place. "
        "Filters compare with training images only. Each image keeps its scores, as columns of `metadata.csv`; an "
        f"empty cell: the training images do not determine the score. `{FILTERED}` of each replicate holds the numbers "
        "of which these are the sums; an image counts for the first filter that drops it:",
        _table(("class", "wanted", "drawn", *(f"dropped by `{name}`" for name in names), "kept"), rows),
        "\n".join(f"- `{name}`: {SCORES[name]}" for name in names),
    ]


def _data_header(facts: CardFacts, total: int, columns: Sequence[str]) -> dict[str, Any]:
    return {
        "pretty_name": f"Synthetic images by {facts.family}",
        "task_categories": ["image-classification"],
        "task_ids": ["multi-class-image-classification"],
        "annotations_creators": ["machine-generated"],
        "size_categories": [size_category(total)],
        "tags": ["synthetic", "makeweight", "data-augmentation", _quoted(facts.family)],
        "configs": [
            {
                "config_name": "metadata",
                "data_files": [{"split": "train", "path": "replicate_*/metadata.csv"}],
                "keep_default_na": False,  # else pandas reads a class named NA as missing
            }
        ],
        "dataset_info": [{"config_name": "metadata", "features": [_feature(name, facts) for name in columns]}],
    }


def size_category(images: int) -> str:
    """The Hub's size category for a number of images."""
    names = [*BOUNDS.values()]
    n_bounds = sum(images >= bound for bound in BOUNDS)
    if not n_bounds:
        return f"n<{names[0]}"
    return f"{names[n_bounds - 1]}<n<{names[n_bounds]}" if n_bounds < len(names) else f"n>{names[-1]}"


def _feature(column: str, facts: CardFacts) -> dict[str, object]:
    if column != "label":
        other = "float64" if column in FILTER_NAMES else "int64"
        return {"name": column, "dtype": DTYPES.get(column, other)}
    return {
        "name": column,
        "dtype": {"class_label": {"names": {str(label): _quoted(name) for label, name in enumerate(facts.classes)}}},
    }


def _loading(facts: CardFacts, images: int) -> str:
    return f"""\
import json
from pathlib import Path

import numpy as np
import pandas as pd

folder = Path("replicate_0")
images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)  # uint8 [{images}, {facts.size}, \
{facts.size}, {facts.channels}]
labels = np.load(folder / "labels.npy", allow_pickle=False)  # int64 [{images}]
classes = json.loads((folder / "classes.json").read_text(encoding="utf-8"))  # class names, in the order of labels
rows = pd.read_csv(folder / "metadata.csv", keep_default_na=False)  # one row per image, in the same order
"""


def _metadata(columns: Sequence[str]) -> str:
    return f"""\
`metadata.csv` holds {", ".join(f"`{name}`" for name in columns)} for each image; `index` is
its position in the arrays. `synthetic` is `true` in each row, so that rows can be merged with those of real images. The
YAML header describes these rows; the Hub's viewer shows them, since it does not read `.npy` files."""


SCORES: dict[str, str] = {
    "agreement": "the probability that a small classifier of training images gives to the class, minus that of the "
    "most probable other class; below 0 it takes the image for another class.",
    "density": "the number of training images of the class in whose neighbourhood the image is, divided by k: a "
    "neighbourhood reaches to the k-th nearest other training image of the class, in the features of that classifier "
    "(Naeem et al. 2020); 0 is outside of all.",
    "novelty": "the distance of the pixels to the nearest training image of the class, divided by the median distance "
    "of a training image of the class to the nearest other one; 0 is a copy.",
}

REAL_IMAGES_IN_DATA = """\
**Each image is made from real ones.** The generator alters or mixes training images, so that what it draws is near to
them by construction, and shows what they show. Publish the images only if you may publish the training images."""

DATA_LIMITS = """\
- **No new information.** The images were generated from the real training images counted above, and contain nothing
  that these do not. A thousand images drawn from six are not a thousand observations: do not count them as such, and do
  not estimate frequencies from them.
- **For training only**, together with real images. Do not use them for validation or testing.
- **Test only with images that the generators have not seen.** They were fitted to the images that the project's
  `data/train/metadata.csv` lists. If you split the images anew, some of these become your test images, and results look
  better than they are (in one trial, 48 of 73 test images). `data/test` is safe; so are images from elsewhere.
- **The synthetic fraction matters.** The project's `results/report.md` says which part of each batch was synthetic when
  a verdict was reached. Another fraction is another experiment.
- **One replicate is one experiment.** If images of several replicates are put into one training set, the trainings are
  no longer independent, and intervals from them are too narrow.
- **Near-duplicates.** Some may be close to training images: check nearest neighbours before publishing.
- **Labels are the requested ones**; nobody checked that the image shows the class.
- **No licence is stated**, since it depends on the licence of the training images. Add one when you publish."""


def _card(header: Mapping[str, Any], *blocks: str) -> str:
    return "\n\n".join([f"---\n{_yaml(header)}---", *(block.strip("\n") for block in blocks)]) + "\n"


def _quoted(name: str) -> str:
    # So that YAML 1.1, which the Hub's library reads, also takes `no` and `1_0` for strings.
    quoted: str = DoubleQuotedScalarString(name)
    return quoted


class _Representer(RoundTripRepresenter):
    """Writes None as `null`, as in `params.yaml`."""


_Representer.add_representer(type(None), SafeRepresenter.represent_none)


def _yaml(values: Mapping[str, Any]) -> str:
    writer, stream = YAML(), io.StringIO()
    writer.Representer = _Representer
    writer.width = sys.maxsize  # one line per value
    writer.dump(dict(values), stream)
    return stream.getvalue()


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return values


def _fenced(language: str, text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}{fence}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *([in_markdown(str(cell)) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
