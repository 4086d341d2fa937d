"""The DVC stage `assess`: the command `makeweight assess`."""

import sys
from pathlib import Path

# The code beside this script, not that of an installation: `dvc exp run --temp` and clones run a copy.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipeline"))

from makeweight.commands.assess import main

if __name__ == "__main__":
    main()
