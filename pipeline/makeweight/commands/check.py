"""`makeweight check`: find every error in the parameters before any work starts."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import ParamsFile, app, command

FOLDER_NOTE = """\
# Assessments of synthetic images

A folder for each family that `assess.families` in `params.yaml` names, with figures, alerts and pictures. The stage
`check` writes this file, so that the stage `report` can depend on the folder also where nothing is assessed.
"""


@command
def check(
    params: ParamsFile = Path("params.yaml"),
    out: Annotated[Path, typer.Option(help="Marker file that all other stages depend on.")] = Path(
        ".makeweight/checked"
    ),
    assessments: Annotated[
        Path, typer.Option(help="Folder of the assessments; a README is written into it, so that it exists.")
    ] = Path("results/assessment"),
    weights: Annotated[
        Path, typer.Option(help="Becomes a link to the file in `assess.weights`, for the stage assess.")
    ] = Path(".makeweight/weights"),
) -> str:
    """Check the parameters and print the plan of the study.

    Write a note, a link to the weights of `assess`, and the marker. It contains a hash of the code of each third-party
    plug-in and, in place of a dependency on the code of Makeweight, the version that the parameters are for.
    """
    from makeweight.core.parameters import read_parameters
    from makeweight.project import plan
    from makeweight.project.check import check as check_parameters
    from makeweight.project.check import link_weights, third_party
    from makeweight.runtime.artifacts import ASSESSMENT_NOTE

    parameters = read_parameters(params)
    check_parameters(parameters)
    lines = ["The parameters are in order.", *(f"{plugin}: {code}" for plugin, code in third_party(parameters).items())]
    if parameters.makeweight is not None:
        lines.append(f"makeweight {parameters.makeweight}")
    typer.echo("\n".join(plan.lines(parameters)))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    link_weights(parameters, weights)
    assessments.mkdir(parents=True, exist_ok=True)
    (assessments / ASSESSMENT_NOTE).write_text(FOLDER_NOTE, encoding="utf-8")
    return f"{params} is valid; wrote {out}"


main = app(check)
