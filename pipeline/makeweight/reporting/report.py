"""The report: everything that came out, on one page that explains itself."""

from __future__ import annotations

import io
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from ruamel.yaml import YAML

from makeweight.core.data import SPLITS, Split
from makeweight.core.errors import BadInput
from makeweight.core.images import nearest, of_class
from makeweight.core.parameters import Parameters
from makeweight.core.seeds import derive
from makeweight.core.study import arms
from makeweight.core.text import NOTHING, capitalised, from_cell, in_markdown, readable, split_sizes
from makeweight.reporting import embed, tables
from makeweight.reporting.tables import Row, Table
from makeweight.runtime import fingerprints, plots
from makeweight.runtime.artifacts import ARMS, COMPARISON, DATA_REPORT_JSON, HISTORY, SAMPLERS, replicate_name
from makeweight.runtime.files import atomic_files, read_json
from makeweight.runtime.machine import machine, versions
from makeweight.runtime.splits import read_split, read_splits

SHOWN_CLASSES, SHOWN_EACH, NEIGHBOURS = 10, 6, 3  # in pictures: the rarest classes, images, images with their nearest
HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Places:
    """Where the stages have left what is reported.

    Attributes:
        data: the folder of `train`, `validation`, `test` and `synthetic`.
        models: a folder for each family.
        runs: a folder for each arm.
        results: `comparison.json` and `arms.csv`.
        logs: times of the stages; None: say nothing of times.
    """

    data: Path
    models: Path
    runs: Path
    results: Path
    logs: Path | None


def report(parameters: Parameters, places: Places, similarities: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """All that the templates show, as plain values and tables; strings are not escaped yet.

    Args:
        parameters: of the whole run.
        places: where the stages have left what is reported.
        similarities: for each family a row a class: how alike its images are, how near to training images.

    Raises:
        BadInput: a stage has not left what it should.
    """
    train, validation, test = read_splits(*(places.data / name for name in SPLITS))
    drawn = {name: read_split(places.data / "synthetic" / name / replicate_name(0)) for name in parameters.generators}
    compared, table = _compared(places.results)
    tested = [each for each in compared["contrasts"] if each["tested"]]
    untested = [each for each in compared["contrasts"] if not each["tested"]]
    names, metric = [str(arm) for arm in arms(parameters)], compared["metric"]
    sizes = {"training": len(train), "validation": len(validation), "test": len(test)}
    return {
        "main": [each for each in tested if each["primary"]] or tested,
        "others": [each for each in tested if not each["primary"] and any(other["primary"] for other in tested)],
        "basis": compared["basis"],
        "explanations": _with_sizes(compared["explanations"], sizes),
        "metric": metric,
        "arms_picture": embed.as_svg(_arms_picture(compared)),
        "arms": tables.arms(names, table, metric),
        "runs": [tables.runs(compared["values"], metric, split) for split in ("test", "validation")],
        "statistics": tables.statistics(tested),
        "estimates": tables.estimates(untested) if untested else None,
        "variance": tables.variance(compared["variance"], metric) if compared["variance"] else None,
        "mcnemar": tables.mcnemar(tested),
        "classes": tables.classes(names, table, train, drawn),
        "splits": tables.splits({"training": train, "validation": validation, "test": test}),
        "images": f"{train.size} × {train.size} pixels, {'greyscale' if train.channels == 1 else 'RGB'}",
        "found": _found(places.results / DATA_REPORT_JSON),
        "families": [_family(name, each, train, places.models, similarities[name]) for name, each in drawn.items()],
        "classifiers": _classifiers(parameters, places.runs),
        "settings": _as_yaml(settings(parameters)),
        "versions": {"Python": platform.python_version(), **versions()},
        "seeds": _seeds(parameters),
        "machine": machine(parameters.compute),
        "hashes": _hashes(parameters, places),
        "timings": None if places.logs is None else _timings(places.logs),
    }


def write_report(facts: Mapping[str, Any], out: Path) -> None:
    """Write `report.html`, one file that needs neither network nor script, and `report.md` into `out`."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("makeweight.reporting"),
        autoescape=True,  # class names are strangers' words; Markdown shows what stands for a sign of HTML as that sign
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters |= {"spoken": readable, "capitalised": capitalised, "md": _markdown}
    with atomic_files(out) as folder:
        for name in ("report.html", "report.md"):
            written = templates.get_template(name).render(facts)
            (folder / name).write_text(written, encoding="utf-8")


def _markdown(text: object) -> Markup:
    return Markup(in_markdown(str(text)))


def _compared(results: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    for name in (COMPARISON, ARMS):
        if not (results / name).exists():
            raise BadInput(f"{results / name} is missing: run compare first")
    table = pd.read_csv(results / ARMS, converters={"class": from_cell}, keep_default_na=False)
    return read_json(results / COMPARISON), table


def _with_sizes(explanations: Mapping[str, str], sizes: Mapping[str, int]) -> dict[str, str]:
    """The explanations that `compare` wrote, with the sizes of the splits, which it does not read."""
    data_set = explanations["Data set"].removesuffix(".")
    return {**explanations, "Data set": f"{data_set}; {split_sizes(sizes)}"}


def _arms_picture(compared: Mapping[str, Any]) -> Any:
    values = {arm: each["test"][compared["metric"]] for arm, each in compared["values"].items()}
    return plots.arms(100 * pd.DataFrame(values), readable(compared["metric"]), plots.NARROW)


def _found(path: Path) -> list[str]:
    """What was found in the data, a sentence each; the data report itself lists every file."""
    if not path.exists():
        return []
    told = read_json(path)
    sizes = {
        "files that could not be used": told["bad"],
        "images under several labels": told["conflicts"],
        "groups of equal images, kept in one split": told["duplicates"].get("equal", []),
        "groups of near-duplicates, kept in one split": told["duplicates"].get("near", []),
        "groups that ready-made splits share": told["leaks"].get("groups", []),
        "files ignored": told["ignored"],
    }
    done = [f"{each['images']} images: {each['what']}" for each in told["conversions"]]
    lines = [f"{len(each)} {what}" for what, each in sizes.items() if each]
    return [f"{told['found']} images found, {told['used']} used", *lines, *done, *told["remarks"]]


def _family(name: str, drawn: Split, train: Split, models: Path, similarity: list[dict[str, Any]]) -> dict[str, Any]:
    history = pd.read_csv(models / name / HISTORY)
    rarest = np.argsort(train.counts, kind="stable")
    shown = np.sort([label for label in rarest if drawn.counts[label] and train.counts[label]][:SHOWN_CLASSES])
    return {
        "name": name,
        "quality": _quality(similarity),
        "curves": embed.as_svg(plots.curves(history, 2, plots.NARROW)) if len(history.columns) > 2 else None,
        "all_shown": len(shown) == len(train.classes),
        "rows": [_pictures(train.classes[label], of_class(train, label), of_class(drawn, label)) for label in shown],
    }


def _quality(similarity: Sequence[Mapping[str, Any]]) -> Table:
    cells = [
        [NOTHING if np.isnan(value) else f"{value:.2f}" for value in (row["diversity"], row["novelty"])]
        for row in similarity
    ]
    return Table(
        "Sample quality; 1: as real, held-out images of the class; 0: copies",
        ["class", "diversity (distance to each other)", "novelty (distance to training images)"],
        [Row(row["class"], pair) for row, pair in zip(similarity, cells, strict=True)],
    )


def _pictures(name: str, real: Any, drawn: Any) -> dict[str, Any]:
    indices, _ = nearest(drawn[:NEIGHBOURS], real)
    pairs = [image for pair in zip(drawn[:NEIGHBOURS], real[indices], strict=True) for image in pair]
    return {
        "class": name,
        "real": embed.as_data_uri(real[:SHOWN_EACH]),
        "drawn": embed.as_data_uri(drawn[:SHOWN_EACH]),
        "nearest": embed.as_data_uri(np.stack(pairs)),
    }


def _classifiers(parameters: Parameters, runs: Path) -> str:
    """The loss of every arm's classifiers as they were trained, a panel an arm."""
    losses = {}
    for arm in arms(parameters):
        history = pd.read_csv(runs / str(arm) / HISTORY)
        losses[str(arm)] = history["loss"]
    table = pd.DataFrame({"replicate": history["replicate"], "step": history["step"], **losses})
    return embed.as_svg(plots.curves(table, 2, plots.NARROW))


def settings(parameters: Parameters) -> dict[str, Any]:
    """The parameters that results depend on: not the number of workers, nor families that nobody trains."""
    compute = parameters.compute
    return {
        "seed": parameters.seed,
        "replicates": parameters.replicates,
        "controls": list(parameters.controls),
        "generators": list(parameters.generators),
        "transforms": list(parameters.transforms),
        "data": parameters.data.model_dump(mode="json"),
        "families": {name: parameters.families[name] for name in parameters.generators},
        "monitor": parameters.monitor.model_dump(),
        "generate": parameters.generate.model_dump(),
        "recipes": {name: parameters.recipes[name] for name in parameters.transforms},
        "classifier": parameters.classifier.model_dump(),
        "compare": parameters.compare.model_dump(),
        "compute": {
            "device": compute.device,
            "precision": compute.precision,
            "threads_per_replicate": compute.threads_per_replicate,
        },
    }


def _as_yaml(values: Mapping[str, Any]) -> str:
    written = io.StringIO()
    dumper = YAML(typ="safe", pure=True)
    dumper.default_flow_style, dumper.sort_base_mapping_type_on_output = False, False  # type: ignore[assignment]
    dumper.dump(dict(values), written)
    return written.getvalue()


def _seeds(parameters: Parameters) -> Table:
    """What each replicate's random streams start from."""
    purposes = {"classifier": ("classifier",)} | {name: ("generator", name) for name in parameters.generators}
    return Table(
        "Seed of each run, derived from the one in the settings",
        ["run", *purposes],
        [
            Row(str(k), [str(derive(parameters.seed, *purpose, k)) for purpose in purposes.values()])
            for k in range(parameters.replicates)
        ],
    )


def _hashes(parameters: Parameters, places: Places) -> Table:
    """What each stage has left, by the first digits of its SHA-256."""
    left: dict[str, Sequence[Path]] = {"prepare": [places.data / name for name in ("train", "validation", "test")]}
    for name in parameters.generators:
        left[f"train-generator {name}"] = [places.models / name / SAMPLERS]
        left[f"generate {name}"] = [places.data / "synthetic" / name]
    for arm in arms(parameters):
        left[f"{arm.stage} {arm}"] = [places.runs / str(arm)]
    left["compare"] = [places.results / COMPARISON]
    rows = [Row(stage, [fingerprints.of_files(*paths)[:HASH_DIGITS]]) for stage, paths in left.items()]
    return Table("SHA-256 of the outputs of each stage, first digits", ["stage", "hash"], rows)


def _timings(logs: Path) -> Table:
    keys = ("replicates", "seconds", "images_per_second")
    entries = {path.stem: read_json(path) for path in sorted(logs.glob("*.json"))}
    rows = [Row(stage, [str(entry[key]) for key in keys]) for stage, entry in entries.items()]
    return Table("Last run of each stage", ["stage", "replicates", "seconds", "images a second"], rows)
