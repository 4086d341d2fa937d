"""`makeweight train-generator`: fit a generator to the training images, once for each replicate."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import ParamsFile, Train, Validation, app, command


@command
def train_generator(
    family: Annotated[str, typer.Option(help="A key of `families` in the parameters.")],
    params: ParamsFile = Path("params.yaml"),
    train: Train = Path("data/train"),
    validation: Validation = Path("data/validation"),
    out: Annotated[
        Path | None, typer.Option(help="Output folder, with a folder for each replicate.  [default: models/FAMILY]")
    ] = None,
) -> str:
    """Train a generator for each replicate."""
    from functools import partial

    from makeweight.core.parameters import read_parameters
    from makeweight.generators.cards import CardFacts, model_card, releases
    from makeweight.generators.fit import Fit
    from makeweight.generators.interface import find_family
    from makeweight.generators.train import train_generators
    from makeweight.runtime.splits import read_splits

    parameters = read_parameters(params)
    out = out or Path("models", family)
    train_split, validation_split = read_splits(train, validation)
    fit = Fit(
        family,
        find_family(family, parameters.families, train_split),
        train_split,
        validation_split,
        parameters.monitor,
        parameters.seed,
        parameters.compute.checkpoint_seconds,
    )
    facts = CardFacts.of(family, train_split, replicates=parameters.replicates, seed=parameters.seed)
    train_generators(
        fit,
        out,
        replicates=parameters.replicates,
        compute=parameters.compute,
        card=partial(model_card, facts, fit.family, parameters.monitor, releases()),
    )
    return f"wrote {parameters.replicates} generators to {out}"


main = app(train_generator)
