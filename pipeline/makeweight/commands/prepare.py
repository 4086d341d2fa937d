"""`makeweight prepare`: take images in, report what is wrong with them, and divide them."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import ParamsFile, app, command

LINES = 20  # of each table that are shown; the report itself holds them all
MISTAKES = 10  # likewise


@command
def prepare(
    params: ParamsFile = Path("params.yaml"),
    out: Annotated[Path, typer.Option(help="Gets the folders train, validation and test.")] = Path("data"),
    report: Annotated[Path, typer.Option(help="Gets data_report.json and data_report.md.")] = Path("results"),
) -> str:
    """Read the images, report on them, write the splits, and say what the study takes and could show."""
    from makeweight.core.data import SPLITS
    from makeweight.core.errors import BadInput
    from makeweight.core.parameters import read_parameters
    from makeweight.core.text import shown
    from makeweight.intake import prepare as preparing
    from makeweight.intake.interface import find_reader
    from makeweight.project import plan
    from makeweight.runtime.artifacts import DATA_REPORT_TABLE
    from makeweight.runtime.processes import cores

    parameters = read_parameters(params)
    workers = cores() if parameters.compute.workers == "auto" else parameters.compute.workers
    told, refused = preparing.prepare(
        find_reader(parameters.data), parameters.data, parameters.seed, workers=workers, out=out, report=report
    )
    if told.found or told.bad or told.ignored:
        typer.echo(told.text(LINES) + "\n", err=refused is not None)
    if refused:
        first, rest = told.errors[:MISTAKES], told.errors[MISTAKES:]
        more = [f"… and {len(rest)} more: {report / DATA_REPORT_TABLE} lists them all"] if rest else []
        raise BadInput(*first, *more)
    try:  # the splits are good even if the parameters of later stages are not
        plan.measure(parameters, out)
        typer.echo("\n".join(plan.lines(parameters)) + "\n")
    except BadInput as mistake:
        typer.echo("\n".join(f"warning: {line}" for line in mistake.errors) + "\n")
    for warning in told.warnings:  # once more, below the tables
        typer.echo(f"WARNING: {shown(warning)}")
    sizes = {name: sum(each[name] for each in told.classes.values()) for name in SPLITS}
    form = told.form
    kind = f"{form['side']}×{form['side']} {'grey' if form['channels'] == 1 else 'RGB'}"
    told_sizes = ", ".join(f"{count} {name}" for name, count in sizes.items())
    return f"wrote {told_sizes} images ({kind}, {len(told.classes)} classes) to {out}"


main = app(prepare)
