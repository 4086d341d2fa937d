"""`makeweight prepare`: read the images, report what is wrong with them, and split them."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import ParamsFile, app, command

MAX_ROWS = 20  # of each table on the terminal; the report itself lists all
MAX_ERRORS = 10  # likewise


@command
def prepare(
    params: ParamsFile = Path("params.yaml"),
    out: Annotated[Path, typer.Option(help="Output folder for train, validation and test.")] = Path("data"),
    report: Annotated[Path, typer.Option(help="Output folder for data_report.json and data_report.md.")] = Path(
        "results"
    ),
) -> str:
    """Read and split the images, and report problems. Estimate the time and the power of the study."""
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
    findings, refused = preparing.prepare(
        find_reader(parameters.data), parameters.data, parameters.seed, workers=workers, out=out, report=report
    )
    if findings.found or findings.bad or findings.ignored:
        typer.echo(findings.text(MAX_ROWS) + "\n", err=refused is not None)
    if refused:
        first, rest = findings.errors[:MAX_ERRORS], findings.errors[MAX_ERRORS:]
        more = [f"… and {len(rest)} more: {report / DATA_REPORT_TABLE} lists them all"] if rest else []
        raise BadInput(*first, *more)
    plan.try_settings(parameters, out)
    try:  # the splits are good even if the parameters of later stages are not
        plan.measure(parameters, out)
        typer.echo("\n".join(plan.lines(parameters)) + "\n")
    except BadInput as error:
        typer.echo("\n".join(f"warning: {line}" for line in error.errors) + "\n")
    for warning in findings.warnings:  # repeated below the tables, where they are seen
        typer.echo(f"WARNING: {shown(warning)}")
    sizes = {name: sum(counts[name] for counts in findings.classes.values()) for name in SPLITS}
    spec = findings.spec
    kind = f"{spec['side']}×{spec['side']} {'grey' if spec['channels'] == 1 else 'RGB'}"
    split_sizes = ", ".join(f"{size} {name}" for name, size in sizes.items())
    return f"wrote {split_sizes} images ({kind}, {len(findings.classes)} classes) to {out}"


main = app(prepare)
