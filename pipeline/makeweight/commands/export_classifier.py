"""`makeweight export-classifier`: write the trained classifier of an arm; nothing is trained."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import ParamsFile, app, command


@command
def export_classifier(
    arm: Annotated[str, typer.Option(help="An arm, such as cgan-classical.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    params: ParamsFile = Path("params.yaml"),
    runs: Annotated[Path, typer.Option(help="Folder of the arms.")] = Path("runs"),
) -> str:
    """Export the best classifier of an arm. The replicate that is best on validation images."""
    from makeweight.core.parameters import read_parameters
    from makeweight.integrations.export_classifier import export_classifier as export

    return "\n".join(export(arm, read_parameters(params).compare.metric, runs, out))


main = app(export_classifier)
