"""`makeweight report`: render all results as one page."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import Choices, ParamsFile, app, command


@command
def report(
    params: ParamsFile = Path("params.yaml"),
    data: Annotated[Path, typer.Option(help="Folder of train, validation, test and synthetic.")] = Path("data"),
    models: Annotated[Path, typer.Option(help="Folder of the generators.")] = Path("models"),
    runs: Annotated[Path, typer.Option(help="Folder of the arms.")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="Folder that compare wrote.")] = Path("results"),
    choices: Choices = Path("results/choices.json"),
    out: Annotated[Path, typer.Option(help="Gets report.html and report.md.")] = Path("results"),
    timings: Annotated[
        bool, typer.Option("--timings", help="Add how long the stages took; the bytes then differ with every run.")
    ] = False,
) -> str:
    """Write the report: verdict, arms, classes, images, curves, settings."""
    from makeweight.core.parameters import read_parameters
    from makeweight.generators.automatic import draw_chosen
    from makeweight.quality.similarity import similarities
    from makeweight.reporting.report import Places, write_report
    from makeweight.reporting.report import report as report_values
    from makeweight.runtime.artifacts import ASSESSMENT_FOLDER, ASSESSMENT_NOTE, LOGS, SYNTHETIC_FOLDER
    from makeweight.runtime.choices import read_choices
    from makeweight.runtime.files import in_use
    from makeweight.runtime.leftovers import ASSESSMENTS, SYNTHETIC, remove_others
    from makeweight.runtime.splits import read_split

    places = Places(data, models, runs, results, LOGS if timings else None)
    parameters = read_parameters(params)
    chosen = read_choices(parameters, choices, automatic=bool(parameters.automatic))
    with in_use():  # no `clean` while images of automatic arms are read from the cache
        train = read_split(data / "train")
        drawn = {
            str(arm): draw_chosen(parameters, choice.chosen, train, models) for arm, choice in chosen.automatic.items()
        }
        similar = similarities(data, parameters.generators)
        write_report(report_values(parameters, places, similar, chosen, drawn), out)
    remove_others(data / SYNTHETIC_FOLDER, parameters.generators, SYNTHETIC)
    remove_others(results / ASSESSMENT_FOLDER, {*parameters.assess.families, ASSESSMENT_NOTE}, ASSESSMENTS)
    return f"wrote report.html and report.md to {out}"


main = app(report)
