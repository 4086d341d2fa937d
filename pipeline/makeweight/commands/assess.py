"""`makeweight assess`: assess the synthetic images of a family."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import ParamsFile, Train, Validation, app, command


@command
def assess(
    family: Annotated[str, typer.Option(help="A name from `generators` in the parameters.")],
    params: ParamsFile = Path("params.yaml"),
    train: Train = Path("data/train"),
    validation: Validation = Path("data/validation"),
    synthetic: Annotated[
        Path | None, typer.Option(help="Synthetic images of the family.  [default: data/synthetic/FAMILY]")
    ] = None,
    history: Annotated[
        Path | None, typer.Option(help="Training history of the family.  [default: models/FAMILY/history.csv]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder for measures, alerts and pictures.  [default: results/assessment/FAMILY]"),
    ] = None,
) -> str:
    """Assess the synthetic images of a family. Fidelity, diversity, labels, memorisation."""
    from makeweight.core.parameters import read_parameters
    from makeweight.quality.assess import assess as assess_images
    from makeweight.quality.assess import assessment_of
    from makeweight.runtime.artifacts import ASSESSMENT_FOLDER, HISTORY, SYNTHETIC_FOLDER

    parameters = read_parameters(params)
    assessment = assessment_of(
        family, parameters, train, validation, synthetic or Path("data", SYNTHETIC_FOLDER, family)
    )
    out = out or Path("results", ASSESSMENT_FOLDER, family)
    alerts = assess_images(
        assessment,
        out,
        history=history or Path("models", family, HISTORY),
        monitor=parameters.monitor,
        compute=parameters.compute,
    )
    for alert in alerts:
        typer.echo(f"assess {alert}")
    return f"assessed {parameters.replicates} generators; wrote {out}"


main = app(assess)
