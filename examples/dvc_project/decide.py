"""Write whether the project should train with synthetic images: one line for each contrast that was tested."""

import json
from pathlib import Path

metrics = json.loads(Path("augment/results/metrics.json").read_text())
lines = [
    f"{contrast}: {figures['verdict']}"
    for contrast, by_metric in metrics["contrasts"].items()
    for figures in by_metric.values()
]
Path("decision.txt").write_text("\n".join(lines) + "\n")
