"""`makeweight generate`: generate class-balanced synthetic images with each replicate's generator."""

from pathlib import Path
from typing import Annotated

import typer

from makeweight.commands.command import ParamsFile, Train, app, command


@command
def generate(
    family: Annotated[str, typer.Option(help="A key of `families` in the parameters.")],
    params: ParamsFile = Path("params.yaml"),
    samplers: Annotated[
        Path | None, typer.Option(help="Trained generators.  [default: models/FAMILY/samplers]")
    ] = None,
    train: Train = Path("data/train"),
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder, with a folder for each replicate.  [default: data/synthetic/FAMILY]"),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(help="Output file for a picture of some images.  [default: results/samples/FAMILY.png]"),
    ] = None,
) -> str:
    """Generate synthetic images."""
    from functools import partial

    from makeweight.core.parameters import read_parameters
    from makeweight.generators.cards import CardFacts, data_card
    from makeweight.generators.generate import Generation
    from makeweight.generators.generate import generate as generate_images
    from makeweight.generators.previews import contents
    from makeweight.runtime.artifacts import replicate_name
    from makeweight.runtime.splits import read_split

    parameters = read_parameters(params)
    out = out or Path("data/synthetic", family)
    samplers = samplers or Path("models", family, "samplers")
    preview = preview or Path("results/samples", f"{family}.png")
    images = read_split(train)
    folders = [samplers / replicate_name(k) for k in range(parameters.replicates)]
    generation = Generation.of(family, folders, images, parameters)
    facts = CardFacts.of(family, images, replicates=parameters.replicates, seed=parameters.seed)
    quota = generate_images(
        generation,
        out,
        preview,
        compute=parameters.compute,
        card=partial(data_card, facts),
    )
    filters = parameters.generate.filters
    number = f"{'at most ' if filters else ''}{quota.sum()}"
    filtered = f" (filters: {', '.join(filters)})" if filters else ""
    written = f"wrote {parameters.replicates} × {number} synthetic images{filtered} to {out}"
    return f"{written}; {preview} shows {contents(len(quota))}"


main = app(generate)
