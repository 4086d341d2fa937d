"""`makeweight check`: find every mistake in the parameters before any work starts."""

from pathlib import Path
from typing import Annotated

import typer

from stages.command import ParamsFile, app, command


@command
def check(
    params: ParamsFile = Path("params.yaml"),
    out: Annotated[Path, typer.Option(help="Marker that all other stages wait for.")] = Path(".makeweight/checked"),
) -> str:
    """Check the parameters; write nothing but a marker."""
    from pipeline.checking import check as check_parameters
    from pipeline.params import read_parameters

    check_parameters(read_parameters(params))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("The parameters are in order.\n", encoding="utf-8")
    return f"{params} is in order; wrote {out}"


if __name__ == "__main__":
    app(check)()
