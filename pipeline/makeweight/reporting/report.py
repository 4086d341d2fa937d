"""The report: all results on one page, with explanations."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from ruamel.yaml import YAML

from makeweight.core.choices import NOTHING_CHOSEN, Choices
from makeweight.core.data import SPLITS, Split
from makeweight.core.errors import BadInput
from makeweight.core.images import nearest, of_class
from makeweight.core.parameters import Parameters, families_of
from makeweight.core.plugins import keeps_training_images
from makeweight.core.seeds import derive
from makeweight.core.study import Arm, arms, is_automatic
from makeweight.core.text import NOTHING, capitalised, from_cell, in_markdown, listed, readable, split_sizes
from makeweight.reporting import embed, tables
from makeweight.reporting.assessments import assessments
from makeweight.reporting.changes import shown_changes, validation_predictions
from makeweight.reporting.tables import Row, Table
from makeweight.runtime import fingerprints, plots
from makeweight.runtime.artifacts import (
    ARM,
    ARMS,
    CLASS,
    CLASS_GAINS,
    COMPARISON,
    DATA_REPORT_JSON,
    FILTERED,
    HISTORY,
    REFERENCE,
    REPLICATE,
    SAMPLERS,
    STEP,
    SYNTHETIC_FOLDER,
    replicate_name,
)
from makeweight.runtime.files import atomic_files, read_json
from makeweight.runtime.replicates import recorded
from makeweight.runtime.splits import read_split, read_splits

MAX_CLASSES = 10  # of which images are shown: the rarest ones
IMAGES_PER_CLASS, NEIGHBOURS = 6, 3  # shown; generated images that are shown with their nearest training image
HASH_DIGITS = 16
GAINS_NOTE = (
    "The intervals of all classes of a contrast hold together with 95% confidence (Bonferroni), for other runs and "
    "other test images. They are exploratory, and not the tested verdict."
)
NEAR_BY_CONSTRUCTION = (
    "This family alters or mixes training images, so that a low distance ratio is by construction, and no sign of "
    "memorisation."
)

Drawn = Mapping[str, Sequence[Path]]  # for each family the folder of each replicate's images


@dataclass(frozen=True, slots=True)
class Places:
    """The outputs of the stages.

    Attributes:
        data: the folder of `train`, `validation`, `test` and `synthetic`.
        models: a folder for each family.
        runs: a folder for each arm.
        results: the folder of `comparison.json`, `arms.csv` and `classes.csv`.
        logs: the folder of the durations of the stages; None: the report shows no durations.
    """

    data: Path
    models: Path
    runs: Path
    results: Path
    logs: Path | None


def report(
    parameters: Parameters,
    places: Places,
    similarities: Mapping[str, list[dict[str, Any]]],
    choices: Choices = NOTHING_CHOSEN,
    automatic: Mapping[str, Drawn] = MappingProxyType({}),
) -> dict[str, Any]:
    """The values and tables that the templates show; strings are not escaped yet.

    Args:
        parameters: of the whole run.
        places: the outputs of the stages.
        similarities: for each family a row for each class: diversity, and distance ratio to the training images.
        choices: of budgets, of the control and of automatic arms.
        automatic: for each automatic arm, by name, the images that it was trained on.

    Raises:
        BadInput: an output is missing.
    """
    train, validation, test = read_splits(*(places.data / name for name in SPLITS))
    folders = {
        name: [places.data / SYNTHETIC_FOLDER / name / replicate_name(k) for k in range(parameters.replicates)]
        for name in parameters.generators
    }
    synthetic = {name: read_split(of_family[0]) for name, of_family in folders.items()}
    compared, table, gains = _compared(places.results)
    tested = [contrast for contrast in compared["contrasts"] if contrast["tested"]]
    untested = [contrast for contrast in compared["contrasts"] if not contrast["tested"]]
    main = [contrast for contrast in tested if contrast["primary"]] or tested
    others = [contrast for contrast in tested if contrast not in main]
    names, metric = [str(arm) for arm in arms(parameters)], compared["metric"]
    sizes = {"training": len(train), "validation": len(validation), "test": len(test)}
    return {
        "main": main,
        "others": others,
        "brief": [contrast["brief"] for contrast in others],
        "basis": compared["basis"],
        "warnings": compared["warnings"],
        "explanations": _with_sizes(compared["explanations"], sizes),
        "metric": metric,
        "arms_plot": embed.as_svg(_arms_plot(compared)),
        "arms": tables.arms(names, table, metric),
        "runs": [tables.runs(compared["values"], metric, split) for split in ("test", "validation")],
        "choices": tables.choices(choices) if choices.scores else None,
        "automatic": [tables.automatic(str(arm), choice) for arm, choice in choices.automatic.items()],
        "budgets_plot": _budgets_plot(choices, metric),
        "statistics": tables.statistics(tested),
        "estimates": tables.estimates(untested) if untested else None,
        "variance": tables.variance(compared["variance"], metric) if compared["variance"] else None,
        "mcnemar": tables.mcnemar(tested),
        "classes": tables.classes(names, table, train, synthetic),
        "gains_note": GAINS_NOTE,
        "gains": _gains(main + others, gains, parameters.replicates, places.runs, validation, synthetic, automatic),
        "nothing_to_test": [contrast["arm"] for contrast in tested if contrast["gain"] is None],
        "without_test_images": listed([name for name in train.classes if name not in set(gains[CLASS])]),
        "splits": tables.splits({"training": train, "validation": validation, "test": test}),
        "images": f"{train.size} × {train.size} pixels, {'greyscale' if train.channels == 1 else 'RGB'}",
        "data_findings": _data_findings(places.results / DATA_REPORT_JSON),
        "families": [
            _family(name, split, train, places.models, similarities[name]) for name, split in synthetic.items()
        ],
        "filters": _filters(folders, automatic),
        "assessments": assessments(places.results, parameters.assess.families),
        "classifiers": _classifiers(parameters, places.runs),
        "settings": _as_yaml(settings(parameters)),
        "environments": _environments(parameters, places),
        "seeds": _seeds(parameters),
        "hashes": _hashes(parameters, places),
        "timings": None if places.logs is None else _timings(places.logs),
    }


def write_report(values: Mapping[str, Any], out: Path) -> None:
    """Write `report.html`, a single file without scripts or network access, and `report.md` into `out`."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("makeweight.reporting"),
        autoescape=True,  # class names are untrusted; Markdown renders HTML entities, too
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters |= {"readable": readable, "capitalised": capitalised, "md": _markdown}
    with atomic_files(out) as folder:
        for name in ("report.html", "report.md"):
            text = templates.get_template(name).render(values)
            (folder / name).write_text(text, encoding="utf-8")


def _markdown(text: object) -> Markup:
    return Markup(in_markdown(str(text)))


def _compared(results: Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """`comparison.json`, `arms.csv` and `classes.csv`."""
    for name in (COMPARISON, ARMS, CLASS_GAINS):
        if not (results / name).exists():
            raise BadInput(f"{results / name} is missing: run compare first")
    arms_table, gains = (
        pd.read_csv(results / name, converters={CLASS: from_cell}, keep_default_na=False)
        for name in (ARMS, CLASS_GAINS)
    )
    return read_json(results / COMPARISON), arms_table, gains


def _gains(
    contrasts: Sequence[Mapping[str, Any]],
    gains: pd.DataFrame,
    replicates: int,
    runs: Path,
    validation: Split,
    synthetic: Mapping[str, Split],
    automatic: Mapping[str, Drawn],
) -> list[dict[str, Any]]:
    """The differences in recall of each contrast, and validation images whose prediction changed.

    Without those of automatic arms that chose no synthetic images.
    """
    shown = []
    for contrast in contrasts:
        if contrast["gain"] is None:
            continue
        arm, reference = Arm.named(contrast["arm"]), Arm.named(contrast["reference"])
        rows = gains[(gains[ARM] == str(arm)) & (gains[REFERENCE] == str(reference))]
        predictions = (
            validation_predictions(runs, arm, validation, replicates),
            validation_predictions(runs, reference, validation, replicates),
        )
        images = _trained_on(arm, synthetic, automatic)
        shown.append(
            {
                "arm": str(arm),
                "reference": str(reference),
                "primary": contrast["primary"],
                "gains": tables.class_gains(rows),
                "changes": shown_changes(rows, validation, predictions, images),
            }
        )
    return shown


def _trained_on(arm: Arm, synthetic: Mapping[str, Split], automatic: Mapping[str, Drawn]) -> dict[str, Split]:
    """For each family the synthetic images of replicate 0 that an arm was trained on."""
    if is_automatic(arm.source):
        return {name: read_split(folders[0]) for name, folders in automatic[str(arm)].items()}
    return {name: synthetic[name] for name in families_of(arm.source)}


def _filters(drawn: Drawn, automatic: Mapping[str, Drawn]) -> Table | None:
    """What filters dropped of the images of each family, and of those of automatic arms; None: nothing is filtered."""
    named = {**drawn}
    for arm, of_arm in automatic.items():
        named |= {f"{name}, for {arm}": folders for name, folders in of_arm.items()}
    counts = {
        name: [row for folder in folders if (path := folder / FILTERED).exists() for row in read_json(path)]
        for name, folders in named.items()
    }
    filtered = {name: rows for name, rows in counts.items() if rows}
    return tables.filters(filtered) if filtered else None


def _with_sizes(explanations: Mapping[str, str], sizes: Mapping[str, int]) -> dict[str, str]:
    """The explanations that `compare` wrote, with the sizes of the splits, which it does not read."""
    data_set = explanations["Data set"].removesuffix(".")
    return {**explanations, "Data set": f"{data_set}; {split_sizes(sizes)}"}


def _arms_plot(compared: Mapping[str, Any]) -> Any:
    values = {arm: by_split["test"][compared["metric"]] for arm, by_split in compared["values"].items()}
    return plots.arms(100 * pd.DataFrame(values), readable(compared["metric"]), plots.NARROW)


def _budgets_plot(choices: Choices, metric: str) -> str | None:
    if not choices.steps:
        return None
    means = {
        str(arm): pd.Series({steps: 100 * fmean(values) for steps, values in by_steps.items()})
        for arm, by_steps in choices.scores.items()
    }
    chosen = {str(arm): steps for arm, steps in choices.steps.items()}
    return embed.as_svg(plots.budgets(means, chosen, readable(metric), plots.NARROW))


def _data_findings(path: Path) -> list[str]:
    """A summary of the data report in sentences; the data report itself lists every file."""
    if not path.exists():
        return []
    data_report = read_json(path)
    findings = {
        "files that could not be used": data_report["bad"],
        "images under several labels": data_report["conflicts"],
        "groups of equal images, kept in one split": data_report["duplicates"].get("equal", []),
        "groups of near-duplicates, kept in one split": data_report["duplicates"].get("near", []),
        "groups that predefined splits share": data_report["leaks"].get("groups", []),
        "files ignored": data_report["ignored"],
    }
    counts = [f"{len(entries)} {description}" for description, entries in findings.items() if entries]
    conversions = [f"{entry['images']} images: {entry['what']}" for entry in data_report["conversions"]]
    total = f"{data_report['found']} images found, {data_report['used']} used"
    return [total, *counts, *conversions, *data_report["remarks"]]


def _family(
    name: str, synthetic: Split, train: Split, models: Path, similarity: list[dict[str, Any]]
) -> dict[str, Any]:
    history = pd.read_csv(models / name / HISTORY)
    rarest = np.argsort(train.counts, kind="stable")
    shown = np.sort([label for label in rarest if synthetic.counts[label] and train.counts[label]][:MAX_CLASSES])
    return {
        "name": name,
        "quality": _quality(similarity, NEAR_BY_CONSTRUCTION if keeps_training_images(name) else ""),
        "curves": embed.as_svg(plots.curves(history, 2, plots.NARROW)) if len(history.columns) > 2 else None,
        "all_shown": len(shown) == len(train.classes),
        "rows": [_images(train.classes[label], of_class(train, label), of_class(synthetic, label)) for label in shown],
    }


def _quality(similarity: Sequence[Mapping[str, Any]], note: str) -> Table:
    cells = [
        [NOTHING if np.isnan(value) else f"{value:.2f}" for value in (row["diversity"], row["novelty"])]
        for row in similarity
    ]
    return Table(
        "Sample quality; 1: as real, held-out images of the class; 0: copies",
        [
            "class",
            "diversity (difference between images, without brightness and contrast)",
            "nearest-neighbour distance ratio (to training images)",
        ],
        [Row(row["class"], pair) for row, pair in zip(similarity, cells, strict=True)],
        note,
    )


def _images(name: str, real: Any, synthetic: Any) -> dict[str, Any]:
    indices, _ = nearest(synthetic[:NEIGHBOURS], real)
    pairs = [image for pair in zip(synthetic[:NEIGHBOURS], real[indices], strict=True) for image in pair]
    return {
        "class": name,
        "real": embed.as_data_uri(real[:IMAGES_PER_CLASS]),
        "synthetic": embed.as_data_uri(synthetic[:IMAGES_PER_CLASS]),
        "nearest": embed.as_data_uri(np.stack(pairs)),
    }


def _classifiers(parameters: Parameters, runs: Path) -> str:
    """The training loss of all classifiers, a panel for each arm."""
    losses = {
        str(arm): pd.read_csv(runs / str(arm) / HISTORY, usecols=[REPLICATE, STEP, "loss"]) for arm in arms(parameters)
    }
    return embed.as_svg(plots.losses(losses, 2, plots.NARROW))


def settings(parameters: Parameters) -> dict[str, Any]:
    """The parameters that results depend on: without the number of workers and families that are not trained."""
    compute = parameters.compute
    return {
        "seed": parameters.seed,
        "replicates": parameters.replicates,
        "controls": list(parameters.controls),
        "generators": list(parameters.generators),
        "unions": list(parameters.unions),
        "automatic": list(parameters.automatic),
        "transforms": list(parameters.transforms),
        "one_generator": list(parameters.one_generator),
        "data": parameters.data.model_dump(mode="json"),
        "families": {name: parameters.families[name] for name in parameters.generators},
        "monitor": parameters.monitor.model_dump(),
        "generate": parameters.generate.model_dump(),
        "assess": parameters.assess.model_dump(mode="json"),
        "recipes": {name: parameters.recipes[name] for name in parameters.transforms},
        "classifier": parameters.classifier.model_dump(mode="json"),
        "choice": parameters.choice.model_dump(),
        "auto": parameters.auto.model_dump(mode="json"),
        "compare": parameters.compare.model_dump(),
        "compute": {
            "device": compute.device,
            "precision": compute.precision,
            "threads_per_replicate": compute.threads_per_replicate,
        },
    }


def _as_yaml(values: Mapping[str, Any]) -> str:
    buffer = io.StringIO()
    dumper = YAML(typ="safe", pure=True)
    dumper.default_flow_style, dumper.sort_base_mapping_type_on_output = False, False  # type: ignore[assignment]
    dumper.dump(dict(values), buffer)
    return buffer.getvalue()


def _seeds(parameters: Parameters) -> Table:
    """The seeds of each replicate."""
    purposes = {"classifier": ("classifier",)} | {name: ("generator", name) for name in parameters.generators}
    return Table(
        "Seed of each run, derived from the one in the settings",
        ["run", *purposes],
        [
            Row(str(k), [str(derive(parameters.seed, *purpose, k)) for purpose in purposes.values()])
            for k in range(parameters.replicates)
        ],
    )


def _environments(parameters: Parameters, places: Places) -> list[dict[str, Any]]:
    """The machines and package versions that trained the models, as recorded with them, and the names of the models."""
    folders = [places.models / name for name in parameters.generators]
    folders += [places.runs / str(arm) for arm in arms(parameters)]
    environments: list[dict[str, Any]] = []
    for folder in folders:
        record = recorded(folder)
        same = [known for known in environments if all(known[key] == record[key] for key in record)]
        if same:
            same[0]["models"].append(folder.name)
        elif record["machine"]:
            environments.append({**record, "models": [folder.name]})
    return environments


def _hashes(parameters: Parameters, places: Places) -> Table:
    """The SHA-256 of the outputs of each stage, first digits."""
    outputs: dict[str, Sequence[Path]] = {"prepare": [places.data / name for name in ("train", "validation", "test")]}
    for name in parameters.generators:
        outputs[f"train-generator {name}"] = [places.models / name / SAMPLERS]
        outputs[f"generate {name}"] = [places.data / SYNTHETIC_FOLDER / name]
    for arm in arms(parameters):
        outputs[f"{arm.stage} {arm}"] = [places.runs / str(arm)]
    outputs["compare"] = [places.results / COMPARISON]
    rows = [Row(stage, [fingerprints.of_files(*paths)[:HASH_DIGITS]]) for stage, paths in outputs.items()]
    return Table("SHA-256 of the outputs of each stage, first digits", ["stage", "hash"], rows)


def _timings(logs: Path) -> Table:
    keys = ("replicates", "seconds", "images_per_second")
    entries = {path.stem: read_json(path) for path in sorted(logs.glob("*.json"))}
    rows = [Row(stage, [str(entry[key]) for key in keys]) for stage, entry in entries.items()]
    return Table("Last run of each stage", ["stage", "replicates", "seconds", "images a second"], rows)
