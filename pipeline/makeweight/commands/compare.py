"""`makeweight compare`: compare all arms, with a verdict for each tested contrast."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import Choices, ParamsFile, app, command


@command
def compare(
    params: ParamsFile = Path("params.yaml"),
    runs: Annotated[Path, typer.Option(help="Folder of the arms.")] = Path("runs"),
    models: Annotated[Path, typer.Option(help="Folder of the generators.")] = Path("models"),
    choices: Choices = Path("results/choices.json"),
    out: Annotated[Path, typer.Option(help="Output folder for tables and a plot.")] = Path("results"),
) -> str:
    """Compare the arms and print the verdicts."""
    from makeweight.comparison.compare import compare as compare_arms
    from makeweight.comparison.compare import write_comparison
    from makeweight.comparison.console import show
    from makeweight.core.choices import resolved
    from makeweight.core.parameters import read_parameters
    from makeweight.core.study import arms, arms_with_one_generator
    from makeweight.runtime.artifacts import ONE_GENERATOR
    from makeweight.runtime.choices import read_choices
    from makeweight.runtime.leftovers import MODELS, RUNS, remove_others

    parameters = read_parameters(params)
    chosen = read_choices(parameters, choices, automatic=bool(parameters.automatic))
    comparison = compare_arms(resolved(parameters, chosen), runs, models, chosen)
    write_comparison(comparison, out)
    remove_others(runs, {ONE_GENERATOR, *map(str, arms(parameters))}, RUNS)
    remove_others(runs / ONE_GENERATOR, set(map(str, arms_with_one_generator(parameters))), RUNS)
    remove_others(models, parameters.generators, MODELS)
    show(comparison)
    return f"wrote comparison.json, metrics.json, three tables and a plot to {out}"


main = app(compare)
