"""Model cards and data cards: facts in, Markdown out, below the YAML header that the Hugging Face Hub reads.

Same facts, same bytes: no times and no paths of a machine. Class names come from strangers, so that they are quoted in
the header and spelled out in tables. Nothing that trains imports this room: another wording trains nothing again.
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

from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter, SafeRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from makeweight.core.data import Labels, Split
from makeweight.core.parameters import MonitorSettings
from makeweight.core.text import in_markdown
from makeweight.generators.interface import Family
from makeweight.runtime.machine import Machine, versions
from makeweight.training.loop import MAX_ROLLBACKS

BOUNDS = {10**3: "1K", 10**4: "10K", 10**5: "100K", 10**6: "1M", 10**7: "10M", 10**8: "100M", 10**9: "1B"}
COLUMNS = ("index", "class", "label", "synthetic", "family", "replicate")  # of a synthetic image's row
KINDS = {"class": "string", "synthetic": "bool", "family": "string"}  # of these; else numbers
TROUBLE = {
    "rollback": f"it went back to its last good state, at half the learning rates, at most {MAX_ROLLBACKS} times",
    "stop": "it stopped, and no card was written",
}


@dataclass(frozen=True, slots=True)
class Study:
    """What both cards tell of.

    Attributes:
        family: its name.
        classes: names, in the order of their labels.
        counts: training images of each class.
        size: side of the images in pixels.
        channels: 1 or 3.
        replicates: how many generators there are.
        seed: of the whole pipeline.
    """

    family: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    size: int
    channels: int
    replicates: int
    seed: int

    @classmethod
    def of(cls, family: str, train: Split, *, replicates: int, seed: int) -> Study:
        """The study of `family` on the images `train`."""
        return cls(family, train.classes, tuple(train.counts.tolist()), train.size, train.channels, replicates, seed)

    @property
    def shape(self) -> str:
        """Of an image, in words."""
        return f"{self.size}×{self.size} {'grey' if self.channels == 1 else 'RGB'}"

    @property
    def rows(self) -> list[tuple[int, str, int]]:
        """Label, name and training images of each class."""
        return [(label, *row) for label, row in enumerate(zip(self.classes, self.counts, strict=True))]


def releases() -> dict[str, str]:
    """Of what results and files depend on."""
    return {
        "python": python_version(),
        "makeweight": version("makeweight"),
        **versions(),
        "safetensors": version("safetensors"),
    }


def model_card(
    study: Study, family: Family, watch: MonitorSettings, packages: Mapping[str, str], machine: Machine
) -> str:
    """The card of the generators of one family.

    Args:
        study: what they were fitted to.
        family: with its settings.
        watch: what would have counted as a training that goes wrong.
        packages: the releases of what it was fitted with.
        machine: what they were fitted on.
    """
    return _card(
        _model_header(study),
        f"# Generators of the family `{study.family}`",
        f"{study.replicates} class-conditional image generators, each fitted to the same training images from a random "
        f"stream of its own, so that a comparison can tell the luck of one generator from what the family does. Made "
        f"by `{type(family).__module__}:{type(family).__qualname__}` of Makeweight, which measures whether synthetic "
        "images help a classifier. `samplers/replicate_<k>/` holds one generator each.",
        "## What they were fitted to",
        f"{sum(study.counts)} training images, {study.shape}. Validation images were only logged; test "
        "images were not there to be seen.",
        _table(("label", "class", "training images"), study.rows),
        "## How they were fitted",
        "The family's settings, as under `families` in `params.yaml`:",
        _fenced("yaml", _yaml({study.family: _plain(family.model_dump())})),
        _table(("what", "value"), _circumstances(study, machine).items()),
        "Releases that results depend on; with others, the same settings round differently:",
        _table(("package", "release"), packages.items()),
        "## Load and draw",
        "With Makeweight installed, in the folder of this card. A number is a label of the table above:",
        _fenced("python", _drawing(study)),
        "## What was watched",
        _watched(watch),
        "## Use and limits",
        MODEL_LIMITS,
    )


def _model_header(study: Study) -> dict[str, Any]:
    return {
        "library_name": "makeweight",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["makeweight", _quoted(study.family), "class-conditional", "data-augmentation"],
        "makeweight": {"family": _quoted(study.family), "classes": [_quoted(name) for name in study.classes]},
    }


def _circumstances(study: Study, machine: Machine) -> dict[str, object]:
    told = {"seed": study.seed, "replicates": study.replicates, "device": machine.device}
    more = {"precision": machine.precision, "threads": machine.threads, "processes": machine.processes}
    return {**told, **{f"{name} of each replicate": value for name, value in more.items()}}


def _drawing(study: Study) -> str:
    some = [label for label, count in enumerate(study.counts) if count][:3]
    return f"""\
from pathlib import Path

import torch

from makeweight.core.plugins import find
from makeweight.core.images import as_images

sampler = find("families", "{study.family}").load(Path("samplers/replicate_0"))
labels = torch.tensor({some})
drawn = sampler.sample(labels, rng=torch.Generator().manual_seed(0))  # float [n, {study.channels}, {study.size}, \
{study.size}] in [-1, 1]
images = as_images(drawn)  # uint8 [n, {study.size}, {study.size}, {study.channels}]
"""


def _watched(watch: MonitorSettings) -> str:
    return f"""\
A family that trains in steps was looked at now and then. It would have counted as gone wrong if

- a figure or a weight was no number any more;
- a discriminator, if it has one, had won: told training images from generated ones with at most \
{watch.min_discriminator_error:.4g} of errors on either for a quarter of the training;
- the images drawn of a class were all alike: their distances below {watch.min_diversity_ratio:.4g} of the real images'.

In such a case {TROUBLE[watch.on_divergence]} (`monitor.on_divergence: {watch.on_divergence}`). `history.csv` and `history.png` \
hold what was recorded, `learning.png` what was drawn as training went on."""


MODEL_LIMITS = """\
Meant for one thing: drawing images to train a classifier with, beside the real ones, where the same study measures
whether that helps. Not for showing what the classes look like, for evaluating a classifier, or as evidence of any kind.

- **Few images.** What is rare among the training images is guessed at; look at the table before trusting a class.
- **Learnt by heart.** A generator of few images may repeat them. Set some drawn images beside their nearest training
  images before they are published, and do not publish where the training images must stay private: their traces are in
  the weights, and some families (`smote`, `autoencoder`) keep the images or their codes as they are.
- **Biased as its images are.** Whatever they over- or under-represent, it does too, and blurs or drops what is rarer.
- **Labels are wishes.** A drawn image may look like another class than the one that was asked for.
- **No licence is stated**, since it depends on that of the training images. Whoever publishes these files adds one."""


def data_card(study: Study, quota: Labels) -> str:
    """The card of the images that the generators of one family drew.

    Args:
        study: what the generators were fitted to.
        quota: images that each of them drew, of each class.
    """
    total = study.replicates * int(quota.sum())
    rows = [(*row, drawn) for row, drawn in zip(study.rows, quota.tolist(), strict=True)]
    return _card(
        _data_header(study, total),
        f"# Synthetic images by `{study.family}`",
        f"**Every image here is synthetic.** {study.replicates} generators of Makeweight's family `{study.family}` "
        f"drew {quota.sum()} images each, {total} in all, {study.shape}, to train a classifier with beside real ones.",
        "## What was drawn",
        f"The generator `samplers/replicate_<k>` drew `replicate_<k>/`, and no other did, from seed {study.seed}. How "
        f"they were made is told by their card, in a Makeweight project `models/{study.family}/README.md`. Numbers are "
        "of each replicate:",
        _table(("label", "class", "real training images", "synthetic images"), rows),
        "## How to read them",
        "Few large files instead of many small ones. In the folder of this card:",
        _fenced("python", _reading(study, int(quota.sum()))),
        METADATA,
        "## Use and limits",
        DATA_LIMITS,
    )


def _data_header(study: Study, total: int) -> dict[str, Any]:
    return {
        "pretty_name": f"Synthetic images by {study.family}",
        "task_categories": ["image-classification"],
        "task_ids": ["multi-class-image-classification"],
        "annotations_creators": ["machine-generated"],
        "size_categories": [size_category(total)],
        "tags": ["synthetic", "makeweight", "data-augmentation", _quoted(study.family)],
        "configs": [
            {
                "config_name": "metadata",
                "data_files": [{"split": "train", "path": "replicate_*/metadata.csv"}],
                "keep_default_na": False,  # else a class named NA would be none
            }
        ],
        "dataset_info": [{"config_name": "metadata", "features": [_feature(name, study) for name in COLUMNS]}],
    }


def size_category(images: int) -> str:
    """The Hub's name for about so many."""
    names = [*BOUNDS.values()]
    reached = sum(images >= bound for bound in BOUNDS)
    if not reached:
        return f"n<{names[0]}"
    return f"{names[reached - 1]}<n<{names[reached]}" if reached < len(names) else f"n>{names[-1]}"


def _feature(column: str, study: Study) -> dict[str, object]:
    if column != "label":
        return {"name": column, "dtype": KINDS.get(column, "int64")}
    return {
        "name": column,
        "dtype": {"class_label": {"names": {str(label): _quoted(name) for label, name in enumerate(study.classes)}}},
    }


def _reading(study: Study, images: int) -> str:
    return f"""\
import json
from pathlib import Path

import numpy as np
import pandas as pd

folder = Path("replicate_0")
images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)  # uint8 [{images}, {study.size}, \
{study.size}, {study.channels}]
labels = np.load(folder / "labels.npy", allow_pickle=False)  # int64 [{images}]
classes = json.loads((folder / "classes.json").read_text(encoding="utf-8"))  # names, in the order of labels
rows = pd.read_csv(folder / "metadata.csv", keep_default_na=False)  # one an image, in their order
"""


METADATA = f"""\
`metadata.csv` holds {", ".join(f"`{name}`" for name in COLUMNS)} of every image, `index` being
its place in the arrays; `synthetic` is `true` in each row, so that an image is told from a real one wherever its row
goes. The header above describes these rows, which is what the Hub's viewer shows: it reads no `.npy`."""

DATA_LIMITS = """\
- **Nothing new.** All that is here was learnt from the real training images counted above. Nothing that they do not
  hold can appear, however many images are drawn: a thousand drawn from six are not a thousand observations. Do not
  count them as such, and do not estimate how common anything is from them.
- **For training only**, beside real images. Never validate or test with them.
- **One replicate is one experiment.** Images of several replicates in one training set are no longer independent
  repetitions, and intervals from them are too narrow.
- **Near-copies.** Some may be close to training images: look at nearest neighbours before they are published.
- **Labels are what was asked for**, not what somebody saw in the image.
- **No licence is stated**, since it depends on that of the training images. Whoever publishes these files adds one."""


def _card(header: Mapping[str, Any], *blocks: str) -> str:
    return "\n\n".join([f"---\n{_yaml(header)}---", *(block.strip("\n") for block in blocks)]) + "\n"


def _quoted(name: str) -> str:
    # So that YAML 1.1, which the Hub's own library reads, takes `no` and `1_0` for texts as well.
    quoted: str = DoubleQuotedScalarString(name)
    return quoted


class _Representer(RoundTripRepresenter):
    """Writes `null` where nothing is set, as in `params.yaml`."""


_Representer.add_representer(type(None), SafeRepresenter.represent_none)


def _yaml(values: Mapping[str, Any]) -> str:
    writer, stream = YAML(), io.StringIO()
    writer.Representer = _Representer
    writer.width = sys.maxsize  # a value, a line
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
