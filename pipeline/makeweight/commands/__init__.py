"""One command for each kind of stage."""

import sys

if sys.platform == "win32":  # before the commands import modules that Windows lacks
    sys.stderr.write("makeweight runs on Linux and macOS only; on Windows use WSL 2\n")
    raise SystemExit(2)
