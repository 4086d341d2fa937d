"""The program `makeweight` with all commands."""

from importlib.metadata import version
from typing import Annotated

import typer

from makeweight.commands.assess import assess
from makeweight.commands.check import check
from makeweight.commands.choose import choose
from makeweight.commands.clean import clean
from makeweight.commands.command import app
from makeweight.commands.compare import compare
from makeweight.commands.export import export
from makeweight.commands.export_classifier import export_classifier
from makeweight.commands.generate import generate
from makeweight.commands.init import init
from makeweight.commands.plugins import plugins
from makeweight.commands.prepare import prepare
from makeweight.commands.report import report
from makeweight.commands.sample import sample
from makeweight.commands.train_augmented import train_augmented
from makeweight.commands.train_auto import train_auto
from makeweight.commands.train_baseline import train_baseline
from makeweight.commands.train_generator import train_generator
from makeweight.commands.train_one_generator import train_one_generator
from makeweight.commands.train_union import train_union

makeweight = app(
    init,
    check,
    prepare,
    choose,
    train_generator,
    generate,
    assess,
    train_baseline,
    train_augmented,
    train_union,
    train_auto,
    train_one_generator,
    compare,
    report,
    sample,
    export,
    export_classifier,
    plugins,
    clean,
)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"makeweight {version('makeweight')}")
        raise typer.Exit


@makeweight.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Does synthetic augmentation make my classifier better, by how much, and how sure can I be?"""


if __name__ == "__main__":
    makeweight()
