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
    out: Annotated[Path, typer.Option(help="Output folder for report.html and report.md.")] = Path("results"),
    timings: Annotated[
        bool, typer.Option("--timings", help="Add the duration of each stage; the files then differ from run to run.")
    ] = False,
) -> str:
    """Write the report. Verdict, arms, classes, images, curves, settings."""
    from makeweight.core.parameters import read_parameters
    from makeweight.quality.similarity import similarities
    from makeweight.reporting.report import Places, write_report
    from makeweight.reporting.report import report as report_values
    from makeweight.runtime.artifacts import ASSESSMENT_FOLDER, ASSESSMENT_NOTE, LOGS, SYNTHETIC_FOLDER
    from makeweight.runtime.choices import read_choices
    from makeweight.runtime.leftovers import ASSESSMENTS, SYNTHETIC, remove_others

    places = Places(data, models, runs, results, LOGS if timings else None)
    parameters = read_parameters(params)
    chosen = read_choices(parameters, choices, automatic=bool(parameters.automatic))
    write_report(report_values(parameters, places, similarities(data, parameters.generators), chosen), out)
    remove_others(data / SYNTHETIC_FOLDER, parameters.generators, SYNTHETIC)
    remove_others(results / ASSESSMENT_FOLDER, {*parameters.assess.families, ASSESSMENT_NOTE}, ASSESSMENTS)
    return f"wrote report.html and report.md to {out}"


main = app(report)
