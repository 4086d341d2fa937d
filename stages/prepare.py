"""`makeweight prepare`: take images in and divide them."""

from pathlib import Path
from typing import Annotated

import typer

from stages.command import ParamsFile, app, command


@command
def prepare(
    params: ParamsFile = Path("params.yaml"),
    out: Annotated[Path, typer.Option(help="Gets the folders train, validation and test.")] = Path("data"),
) -> str:
    """Read the images and write the splits."""
    from pipeline.params import read_parameters
    from pipeline.preparing import divide, write_splits

    parameters = read_parameters(params)
    reading = parameters.reader().read(parameters.data)
    indices = divide(reading, parameters.data, parameters.seed)
    write_splits(reading, indices, {name: out / name for name in indices})
    images = reading.images
    sizes = ", ".join(f"{len(rows)} {name}" for name, rows in indices.items())
    kind = f"{images.size}×{images.size} {'grey' if images.channels == 1 else 'RGB'}"
    return f"wrote {sizes} images ({kind}, {len(images.classes)} classes) to {out}"


if __name__ == "__main__":
    app(prepare)()
