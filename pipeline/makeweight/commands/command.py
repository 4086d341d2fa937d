"""What all commands share: the options, one line for a mistake, and a Typer app that starts fast."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from makeweight.core.errors import BadInput
from makeweight.runtime.processes import end_with_parent

P = ParamSpec("P")

ParamsFile = Annotated[Path, typer.Option("--params", help="The file with all settings.")]
Transform = Annotated[str, typer.Option(help="A key of `recipes` in the parameters.")]
Train = Annotated[Path, typer.Option(help="Folder of the training images.")]
Validation = Annotated[Path, typer.Option(help="Folder of the validation images.")]
Test = Annotated[Path, typer.Option(help="Folder of the test images.")]

BAD_INPUT, INTERRUPTED = 2, 130


def command(work: Callable[P, str]) -> Callable[P, None]:
    """Make a command of `work`, which returns its closing line: what was written.

    A user's mistake ends in one line on standard error, never wrapped, and exit code 2.
    """

    @functools.wraps(work)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        end_with_parent()
        try:
            typer.echo(work(*args, **kwargs))
        except BadInput as mistake:
            typer.echo(str(mistake), err=True)
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            typer.echo("interrupted; nothing is lost: run the same command again", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except OSError as error:
            if error.errno is None:
                raise
            typer.echo(f"{error.filename or 'a file'}: {error.strerror}", err=True)
            raise typer.Exit(BAD_INPUT) from None

    guarded.__annotations__["return"] = None
    return guarded


def app(*commands: Callable[..., None]) -> typer.Typer:
    """A Typer app of `commands`, each under its function's name; plain texts, no boxes."""
    made = typer.Typer(
        rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True
    )
    for each in commands:
        made.command()(each)
    return made
