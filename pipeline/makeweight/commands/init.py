"""`makeweight init`: write the pipeline into a folder of a DVC repository."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from makeweight.commands.command import app, command

Preset = Literal["digits", "mnist", "cifar10", "folder"]


@command
def init(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder for dvc.yaml, params.yaml and .gitignore.  [default: augment]")
    ] = None,
    preset: Annotated[
        Preset | None,
        typer.Option(help="Settings for a data set.  [default: digits, or as DATA requires]"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Your images: a folder, a .csv or a .npz; becomes a dependency.")
    ] = None,
    git: Annotated[bool, typer.Option("--git", help="Create a Git and DVC repository if there is none.")] = False,
    upgrade: Annotated[
        bool,
        typer.Option("--upgrade", help="Upgrade a project to the installed version; keeps edits of params.yaml."),
    ] = False,
) -> str:
    """Write the pipeline into your DVC repository. Print the next two commands."""
    from makeweight.core.errors import BadInput
    from makeweight.project.init import init as write_project
    from makeweight.project.rendering import DVC_YAML, PARAMS
    from makeweight.project.upgrade import upgrade as upgrade_project

    if upgrade:
        if preset or data or git:
            raise BadInput("--upgrade takes no other option than the folder: edit params.yaml instead")
        here = Path(PARAMS).exists() and Path(DVC_YAML).exists()
        where = folder or Path("." if here else "augment")
        return "\n".join(upgrade_project(where))
    return "\n".join(write_project(folder or Path("augment"), preset, data, git=git))


main = app(init)
