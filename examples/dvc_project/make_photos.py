"""Write scikit-learn's digits as PNG files, few of the large numbers: photos/<class>/<number>.png."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

digits = load_digits()
for label in range(10):
    folder = Path("photos", str(label))
    folder.mkdir(parents=True)
    of_class = np.flatnonzero(digits.target == label)
    for index in of_class if label < 5 else of_class[:40]:
        Image.fromarray((digits.images[index] * 15).astype(np.uint8)).save(folder / f"{index}.png")
