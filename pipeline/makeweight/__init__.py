"""Does synthetic augmentation make my classifier better, by how much, and how sure can I be?

The names below are imported when they are first used, so that `import makeweight` loads no other library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from makeweight.classification.interface import Transform
    from makeweight.classification.saved import load_classifier
    from makeweight.core.data import Split
    from makeweight.core.errors import BadInput
    from makeweight.core.images import as_images
    from makeweight.core.parameters import Parameters, read_parameters
    from makeweight.core.plugins import find
    from makeweight.core.validation import Settings
    from makeweight.generators.interface import Family
    from makeweight.generators.saved import load_sampler
    from makeweight.intake.interface import DatasetListing, Reader
    from makeweight.integrations.datasets import BalancedDataset, MixedBatchSampler
    from makeweight.integrations.own_training import OwnComparison, compare
    from makeweight.integrations.replacing import ReplaceWithSynthetic
    from makeweight.integrations.resampling import GeneratorOverSampler
    from makeweight.runtime.splits import read_split, write_split
    from makeweight.training.loop import Sampler, TrainingContext

__all__ = [
    "BadInput",
    "BalancedDataset",
    "DatasetListing",
    "Family",
    "GeneratorOverSampler",
    "MixedBatchSampler",
    "OwnComparison",
    "Parameters",
    "Reader",
    "ReplaceWithSynthetic",
    "Sampler",
    "Settings",
    "Split",
    "TrainingContext",
    "Transform",
    "as_images",
    "compare",
    "find",
    "load_classifier",
    "load_sampler",
    "read_parameters",
    "read_split",
    "write_split",
]

_MODULES = {
    "BadInput": "core.errors",
    "BalancedDataset": "integrations.datasets",
    "DatasetListing": "intake.interface",
    "Family": "generators.interface",
    "GeneratorOverSampler": "integrations.resampling",
    "MixedBatchSampler": "integrations.datasets",
    "OwnComparison": "integrations.own_training",
    "Parameters": "core.parameters",
    "Reader": "intake.interface",
    "ReplaceWithSynthetic": "integrations.replacing",
    "Sampler": "training.loop",
    "Settings": "core.validation",
    "Split": "core.data",
    "TrainingContext": "training.loop",
    "Transform": "classification.interface",
    "as_images": "core.images",
    "compare": "integrations.own_training",
    "find": "core.plugins",
    "load_classifier": "classification.saved",
    "load_sampler": "generators.saved",
    "read_parameters": "core.parameters",
    "read_split": "runtime.splits",
    "write_split": "runtime.splits",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
