"""Parts that all commands share: options, error handling, and a Typer app that starts fast."""

from __future__ import annotations

import functools
import inspect
import os
import re
import traceback
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from safetensors import SafetensorError

from makeweight.core.errors import DISK_FULL, OUT_OF_MEMORY, BadInput
from makeweight.runtime.processes import end_with_parent

P = ParamSpec("P")

ParamsFile = Annotated[Path, typer.Option("--params", help="Parameter file.")]
Transform = Annotated[str, typer.Option(help="A key of `recipes` in the parameters.")]
Train = Annotated[Path, typer.Option(help="Folder of the training images.")]
Validation = Annotated[Path, typer.Option(help="Folder of the validation images.")]
Test = Annotated[Path, typer.Option(help="Folder of the test images.")]
Choices = Annotated[Path, typer.Option(help="File that choose wrote; not read if there was nothing to choose.")]
Debug = Annotated[bool, typer.Option("--debug", envvar="MAKEWEIGHT_DEBUG", help="Show the traceback of input errors.")]

BAD_INPUT, INTERRUPTED = 2, 130


def command(work: Callable[P, str]) -> Callable[P, None]:
    """Make a command of `work`, which returns its last line: what was written.

    The command has the option `--debug` besides the arguments of `work`. A user's error ends it with one line on
    standard error, never wrapped, and exit code 2; with `--debug` the traceback stands above that line.
    """

    @functools.wraps(work)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        debug = bool(kwargs.pop("debug", False))
        end_with_parent()
        try:
            typer.echo(work(*args, **kwargs))
        except BrokenPipeError:  # the reader of the output has gone: Click exits without a message
            raise
        except (BadInput, OSError, BrokenProcessPool, MemoryError, SafetensorError) as error:
            line = _line(error, work.__name__.replace("_", "-"))
            if line is None:
                raise
            if debug:
                typer.echo("".join(traceback.format_exception(error)), err=True, nl=False)
            typer.echo(line, err=True)
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            typer.echo("interrupted; nothing is lost: run the same command again", err=True)
            raise typer.Exit(INTERRUPTED) from None

    _add_debug(guarded, inspect.signature(work))
    return guarded


def _line(error: Exception, stage: str) -> str | None:
    """The message for `error` in `stage`; None if it is not an error of the user or the system."""
    if isinstance(error, BrokenProcessPool | MemoryError):
        return f"{stage}: {OUT_OF_MEMORY}"
    if isinstance(error, SafetensorError):
        error = _system_error(error)
    if isinstance(error, OSError):
        if _is_disk_full(error):
            return (
                f"{stage}: {error.filename or 'a file'} could not be written, the disk or the quota is full: free some "
                "space and run the same command again; what was finished is kept"
            )
        return f"{error.filename or 'a file'}: {error.strerror}" if error.errno else None
    return str(error)


def _system_error(error: SafetensorError) -> OSError:
    """The error of the system that safetensors reports as text, without a file name; without a number if it is none."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError()


def _is_disk_full(error: OSError) -> bool:
    # NumPy reports an incomplete write of an array without an error number.
    return error.errno in DISK_FULL or bool(re.fullmatch(r"\d+ requested and \d+ written", str(error)))


def _add_debug(guarded: Callable[..., None], signature: inspect.Signature) -> None:
    """Show `--debug` to Typer, which reads the options of a command from its signature and annotations."""
    option = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
    parameters = [*signature.parameters.values(), option]
    guarded.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
    guarded.__annotations__ = {**guarded.__annotations__, "debug": Debug, "return": None}


def app(*commands: Callable[..., None]) -> typer.Typer:
    """A Typer app of `commands`, each under its function's name, with plain text instead of boxes."""
    typer_app = typer.Typer(
        rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True
    )
    for function in commands:
        typer_app.command()(function)
    return typer_app
