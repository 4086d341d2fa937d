"""Export of a training set of real and synthetic images as PNG files, for other training code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from makeweight.classification.controls import oversample_indices
from makeweight.classification.unions import equal_parts, parts_of
from makeweight.core.data import Images, Labels, Split
from makeweight.core.errors import BadInput
from makeweight.core.parameters import FILTER_NAMES, GenerateSettings
from makeweight.core.plugins import keeps_training_images
from makeweight.core.seeds import derive
from makeweight.core.text import in_markdown, markdown_table
from makeweight.generators.pngs import as_picture, file_name, marks
from makeweight.runtime.artifacts import JSON_METADATA
from makeweight.runtime.files import new_directory, write_text
from makeweight.runtime.progress import ProgressReporter

Format = Literal["imagefolder", "huggingface"]
COLUMNS = ("file_name", "label", "synthetic", "family", "seed", "replicate", "index")


@dataclass(frozen=True)
class TrainingSet:
    """Real training images and the synthetic ones of one replicate.

    Attributes:
        train: the real images, all of which the generators were fitted to.
        drawn: the synthetic images of each family; of several families, equal parts are taken, as in a union.
        replicate: number of the generators.
        settings: how they are mixed.
        seed: of the pipeline.
        scores: of the images of each family, by filter, as `read_scores` returns them.
    """

    train: Split
    drawn: Mapping[str, Split]
    replicate: int
    settings: GenerateSettings
    seed: int
    scores: Mapping[str, Mapping[str, Sequence[float | None]]]

    @cached_property
    def synthetic(self) -> Split:
        """The synthetic images."""
        return equal_parts([*self.drawn.values()])

    @cached_property
    def origins(self) -> list[tuple[str, int]]:
        """The family of each synthetic image, and its index among the images of that family."""
        parts = zip(self.drawn, parts_of([*self.drawn.values()]), strict=True)
        return [(family, index) for family, part in parts for index in part.tolist()]

    def balanced(self) -> Labels:
        """Indices, int64 [n], into `train` followed by `synthetic`: the same number of images of every class.

        Real images of small classes are repeated, as in the arms of the study. `uniform`: every real image is used, and
        the fraction `synthetic_fraction` of every class is synthetic, so that being synthetic carries no information
        about the class. `balance`: each class is filled up with synthetic images, and then with repetitions.
        """
        seed = derive(self.seed, "export", self.replicate)
        if self.settings.strategy == "balance":
            return oversample_indices(np.concatenate([self.train.labels, self.synthetic.labels]), seed)
        real = oversample_indices(self.train.labels, seed)
        fraction = self.settings.synthetic_fraction
        n_synthetic = round(int(self.train.counts.max()) * fraction / (1 - fraction))
        drawn = []
        for label in np.unique(self.train.labels):
            of_class = np.flatnonzero(self.synthetic.labels == label)
            if not len(of_class):
                raise BadInput(f"there are no synthetic images of class {self.train.classes[label]!r}: generate again")
            drawn.append(len(self.train) + np.resize(of_class, n_synthetic))
        return np.concatenate([real, *drawn])

    def only_synthetic(self) -> Labels:
        """Indices of all synthetic images, as those of `balanced`."""
        return len(self.train) + np.arange(len(self.synthetic))

    def files(self, indices: Labels) -> Iterator[tuple[str, Images, dict[str, object]]]:
        """For each of `indices` the name of its file, the image, and its row of `metadata.jsonl` without the name."""
        width = len(str(max(len(self.train), len(self.synthetic))))
        times: dict[int, int] = {}
        for at in indices.tolist():
            synthetic = at >= len(self.train)
            split, index = (self.synthetic, at - len(self.train)) if synthetic else (self.train, at)
            times[at] = times.get(at, 0) + 1
            repetition = f"_{times[at]}" if times[at] > 1 else ""
            family, number = self.origins[index] if synthetic else ("", index)
            origin = {"family": family, "seed": self.seed, "replicate": self.replicate} if synthetic else {}
            row = {"label": split.classes[split.labels[index]], "synthetic": synthetic, **origin, "index": number}
            row |= {name: values[number] for name, values in self.scores.get(family, {}).items()}
            yield f"{'synthetic' if synthetic else 'real'}_{index:0{width}}{repetition}.png", split.images[index], row


def export(images: TrainingSet, indices: Labels, form: Format, out: Path) -> None:
    """Write the images at `indices` as PNG files.

    Args:
        images: the training set.
        indices: which of them: `TrainingSet.balanced()` or `TrainingSet.only_synthetic()`.
        form: `imagefolder`: a folder for each class; `huggingface`: `train/` with all files and `metadata.jsonl`.
        out: a new or empty folder.

    Raises:
        BadInput: `out` is not empty; nothing has been written then.
    """
    done = np.zeros((1, 2), np.int64)
    with new_directory(out) as folder, ProgressReporter("export", done, len(indices), 1, unit="images"):
        rows = []
        for name, image, row in images.files(indices):
            path = Path("train", name) if form == "huggingface" else Path(file_name(str(row["label"])), name)
            (folder / path).parent.mkdir(exist_ok=True)
            as_picture(image).save(folder / path, pnginfo=marks(_facts(row)) if row["synthetic"] else None)
            rows.append({"file_name": name, **row})
            done[0, 0] += 1
        if form == "huggingface":
            _write_rows(folder / "train" / JSON_METADATA, rows)
        write_text(folder / "README.md", _card(images, indices, form))


def _facts(row: Mapping[str, object]) -> dict[str, object]:
    keys = ("family", "seed", "replicate", "index", *(name for name in FILTER_NAMES if row.get(name) is not None))
    return {"class": row["label"], **{key: row[key] for key in keys}}


def _write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    # JSON, in which a class name is text. From CSV, `datasets` reads 007 as the number 7 and NA as a missing value.
    # Synthetic images first: it takes the types of columns from the first 10 MB, and real images lack some values.
    ordered = sorted(rows, key=lambda row: not row["synthetic"])
    columns = (*COLUMNS, *(name for name in FILTER_NAMES if any(name in row for row in rows)))
    complete = ({name: row.get(name) for name in columns} for row in ordered)
    write_text(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in complete))


OPENED_BY: dict[Format, str] = {
    "imagefolder": "`torchvision.datasets.ImageFolder(FOLDER)`; its class numbers follow the names of the folders",
    "huggingface": '`datasets.load_dataset("imagefolder", data_dir=FOLDER)`; `metadata.jsonl` says which are synthetic',
}


ALTERED = """\
- **Synthetic images are altered real ones.** The family makes them from images of `data/train`, so that they are near
  to these by construction, and show what they show. Publish them only if you may publish the real images.
"""


def _card(images: TrainingSet, indices: Labels, form: Format) -> str:
    """The README of an export: what it contains, and what to avoid when training on it."""
    synthetic = indices >= len(images.train)
    labels = np.concatenate([images.train.labels, images.synthetic.labels])[indices]
    counts = [np.bincount(labels[part], minlength=len(images.train.classes)) for part in (~synthetic, synthetic)]
    table = [
        (in_markdown(name), str(real), str(drawn))
        for name, real, drawn in zip(images.train.classes, *map(np.ndarray.tolist, counts), strict=True)
    ]
    families = ", ".join(f"`{family}`" for family in images.drawn)
    return f"""\
# Real and synthetic images

Exported by Makeweight: {len(indices)} files, {int(synthetic.sum())} of them synthetic, drawn by the \
generators of replicate {images.replicate} ({families}) with seed {images.seed}.
Opens with {OPENED_BY[form]}.

{markdown_table([("class", "real", "synthetic"), *table])}

Files `real_<index>.png` are images of the project's `data/train`, whose `metadata.csv` lists their sources; files with
`_2` and so on are repetitions, which balance the classes. The PNG metadata of each `synthetic_<number>.png` mark it as
synthetic, and give its family, its index in `data/synthetic/<family>/replicate_{images.replicate}` and, if images
were filtered, its scores.

## In a training of your own

- **Test only on images that the generator was not trained on.** It was fitted to all of `data/train`. Use the images in
  `data/train/metadata.csv` for training only: if you make a new split, some of them become test images, and the test
  scores are too high. `data/test` is safe.
- **What was tested:** {_tested(images.settings)} Another fraction is another experiment, without a verdict.
- **Split before you add synthetic images.** They are for training only, never for validation or testing.
- **One generator is one experiment.** Do not put the images of several replicates into one training set.
{ALTERED if any(map(keeps_training_images, images.drawn)) else ""}"""


def _tested(settings: GenerateSettings) -> str:
    if settings.strategy == "balance":
        return "the verdict of the project applies to classes that are filled up with synthetic images, as here."
    return (
        f"the verdict of the project applies to batches of which {settings.synthetic_fraction:.0%} is synthetic, "
        "the same fraction in every class."
    )
