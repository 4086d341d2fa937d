"""An imbalanced-learn sampler that draws the missing images of small classes from a generator."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, ClassVar

import numpy as np
import torch
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_target_type
from numpy.typing import NDArray
from ruamel.yaml import YAML
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from makeweight.core.data import LARGEST_SIDE, SMALLEST_SIDE, Images, Split
from makeweight.core.images import as_images
from makeweight.generators.interface import Family, find_family
from makeweight.training.loop import TrainingContext

CHANNELS = (1, 3)


class GeneratorOverSampler(BaseOverSampler):  # type: ignore[misc]  # the package has no types
    """Oversample small classes with images from a generator that is trained on the given images.

    Follows imbalanced-learn's interface: `fit_resample(X, y)`, pipelines, `clone` and grid search. The result begins
    with the given images, unchanged. Only small classes get synthetic images, so that a classifier may recognise these
    classes by the generator's artefacts; `MixedBatchSampler` and the pipeline's strategy `uniform` avoid this.

    Args:
        family: name of the generator family, such as cgan, warp, cvae, gaussian or smote.
        settings: settings of the family that differ from those of Makeweight's `params.yaml`, such as {"steps": 500}.
        image_shape: [height, width] or [height, width, channels] of flat images; None: square images with one or three
            channels, channels last. Images of shape [n, h, w], [n, c, h, w] or [n, h, w, c] need no shape.
        sampling_strategy: which classes are brought to which number, as in imbalanced-learn.
        random_state: seed of training and drawing, or a NumPy `RandomState`; None: another one at each call.

    Attributes:
        sampling_strategy_: number of images to draw for each class.
        n_features_in_: pixels times channels of an image.

    Raises:
        ValueError: `X` holds no square images of 8 to 128 pixels, or values that are NaN or infinite.
        BadInput: the family does not exist, or its settings are not allowed.

    Examples:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> X, y = X[(y < 2)][:100], y[(y < 2)][:100]
        >>> X, y = X[(y == 0) | (np.arange(100) < 30)], y[(y == 0) | (np.arange(100) < 30)]
        >>> X_more, y_more = GeneratorOverSampler("gaussian", random_state=0).fit_resample(X, y)
        >>> bool((np.bincount(y_more) == np.bincount(y).max()).all())
        True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseOverSampler._parameter_constraints,
        "family": [str],
        "settings": [dict, None],
        "image_shape": [tuple, list, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        family: str = "cgan",
        *,
        settings: Mapping[str, Any] | None = None,
        image_shape: tuple[int, ...] | None = None,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.family, self.settings, self.image_shape = family, settings, image_shape
        self.random_state = random_state

    def _check_X_y(self, X: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any], bool]:
        y, binarized = check_target_type(y, indicate_one_vs_all=True)
        X, y = validate_data(self, X=X, y=y, reset=True, allow_nd=True, dtype="numeric", accept_sparse=False)
        self.n_features_in_ = int(np.prod(X.shape[1:]))
        return X, y, binarized

    def _fit_resample(self, X: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        wanted = {name: number for name, number in self.sampling_strategy_.items() if number}
        if not wanted:
            return X.copy(), y.copy()
        layout = _Layout.of(X, self.image_shape)
        classes, labels = np.unique(y, return_inverse=True)
        random = check_random_state(self.random_state)
        fit_seed, draw_seed = (int(seed) for seed in random.randint(2**31, size=2))
        train = Split(layout.pixels(X), labels.astype(np.int64), tuple(map(str, classes)))
        run = TrainingContext(torch.device("cuda" if torch.cuda.is_available() else "cpu"), None)
        # Networks draw their weights from PyTorch's global stream, which belongs to the caller.
        with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
            (sampler,) = self._family(train).fit(train, monitor=train, seeds=[fit_seed], run=run)
        names = np.array(list(wanted), dtype=classes.dtype)
        drawn = np.repeat(np.searchsorted(classes, names), list(wanted.values()))
        drawn.sort()
        images = sampler.sample(torch.from_numpy(drawn), rng=torch.Generator().manual_seed(draw_seed))
        return np.concatenate([X, layout.values(as_images(images))]), np.concatenate([y, classes[drawn]])

    def _family(self, train: Split) -> Family:
        template = files("makeweight").joinpath("project", "templates", "params.yaml").read_text(encoding="utf-8")
        defaults = YAML(typ="safe", pure=True).load(template)["families"].get(self.family, {})
        return find_family(self.family, {self.family: {**defaults, **(self.settings or {})}}, train)

    def _more_tags(self) -> dict[str, Any]:
        return {"X_types": ["2darray", "3darray", "dataframe"]}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.input_tags.three_d_array = True
        return tags


class _Layout:
    """How values [n, ...] of any layout and range become uint8 [n, h, w, c] and back.

    Args:
        shape: of one image in the given array.
        image: height, width and channels.
        channels_first: whether the given images are [c, h, w].
        dtype: of the values.
        low: the value that becomes 0.
        high: the value that becomes 255.
    """

    def __init__(
        self, shape: tuple[int, ...], image: tuple[int, int, int], X: NDArray[Any], *, channels_first: bool
    ) -> None:
        self.shape, self.image, self.channels_first, self.dtype = shape, image, channels_first, X.dtype
        whole = X.dtype == np.uint8
        self.low, self.high = (0.0, 255.0) if whole else (float(X.min()), float(X.max()))

    @classmethod
    def of(cls, X: NDArray[Any], image_shape: tuple[int, ...] | None) -> _Layout:
        """The layout of `X`.

        Raises:
            ValueError: it holds no square images of 8 to 128 pixels.
        """
        shape, channels_first = X.shape[1:], False
        if len(shape) == 1:
            image = tuple(image_shape) if image_shape is not None else _square(shape[0])
        elif len(shape) == 3 and shape[2] not in CHANNELS and shape[0] in CHANNELS:
            image, channels_first = (shape[1], shape[2], shape[0]), True
        else:
            image = shape
        image = (*image, 1) if len(image) == 2 else image
        fits = len(image) == 3 and np.prod(image) == np.prod(shape) and image[2] in CHANNELS and image[0] == image[1]
        if not fits or not SMALLEST_SIDE <= image[0] <= LARGEST_SIDE:
            raise ValueError(
                f"X has the shape {[len(X), *shape]}, which holds no square images of {SMALLEST_SIDE} to "
                f"{LARGEST_SIDE} pixels with 1 or 3 channels: give image_shape for flat images, or resize them"
            )
        return cls(shape, (image[0], image[1], image[2]), X, channels_first=channels_first)

    def pixels(self, X: NDArray[Any]) -> Images:
        """Values to uint8 [n, h, w, c]."""
        height, width, channels = self.image
        if self.channels_first:
            X = X.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        scaled = (X.reshape(-1, *self.image).astype(np.float64) - self.low) * (255 / ((self.high - self.low) or 1.0))
        return np.rint(scaled).astype(np.uint8)

    def values(self, pixels: Images) -> NDArray[Any]:
        """Uint8 [n, h, w, c] to values in the layout, range and type of the given ones."""
        if self.channels_first:
            pixels = pixels.transpose(0, 3, 1, 2)
        scaled = pixels.astype(np.float64) * ((self.high - self.low) / 255) + self.low
        if self.dtype.kind in "bui":
            scaled = np.rint(scaled)
        return scaled.astype(self.dtype).reshape(-1, *self.shape)


def _square(features: int) -> tuple[int, ...]:
    """Height, width and channels of square images with so many values; the number itself if there are none."""
    for channels in CHANNELS:
        side = round((features / channels) ** 0.5)
        if side * side * channels == features:
            return (side, side, channels)
    return (features,)
