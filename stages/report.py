"""`makeweight report`: everything that came out, on one page."""

from pathlib import Path
from typing import Annotated

import typer

from stages.command import ParamsFile, app, command


@command
def report(
    params: ParamsFile = Path("params.yaml"),
    data: Annotated[Path, typer.Option(help="Folder of train, validation, test and synthetic.")] = Path("data"),
    models: Annotated[Path, typer.Option(help="Folder of the generators.")] = Path("models"),
    runs: Annotated[Path, typer.Option(help="Folder of the arms.")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="What compare has written.")] = Path("results"),
    out: Annotated[Path, typer.Option(help="Gets report.html and report.md.")] = Path("results"),
    timings: Annotated[
        bool, typer.Option("--timings", help="Say how long the stages took: never the same bytes twice.")
    ] = False,
) -> str:
    """Write the report: verdict, arms, classes, images, curves, settings."""
    from pipeline.leftovers import MODELS, SYNTHETIC, remove_others
    from pipeline.params import read_parameters
    from pipeline.reporting import Places, write_report
    from pipeline.reporting import report as facts
    from pipeline.storage import LOGS

    places = Places(data, models, runs, results, LOGS if timings else None)
    parameters = read_parameters(params)
    write_report(facts(parameters, places), out)
    remove_others(models, parameters.generators, MODELS)
    remove_others(data / "synthetic", parameters.generators, SYNTHETIC)
    return f"wrote report.html and report.md to {out}"


if __name__ == "__main__":
    app(report)()
