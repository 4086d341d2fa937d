"""Do synthetic images help my own classifier? A script with cells, for an editor or Jupyter."""

# %% Data: many zeros to fours, few fives to nines
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import makeweight

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
kept = np.random.default_rng(0).random(len(y_train)) < np.where(y_train < 5, 1, 0.15)
X_train, y_train = X_train[kept], y_train[kept]


# %% My training function: any library, anything that predicts
def fit(training_set, seed):
    """Train on (images, labels)."""
    images, labels = training_set
    return MLPClassifier((64,), max_iter=60, early_stopping=False, random_state=seed).fit(images / 16, labels)


# %% Two ways to balance the classes: repeated images, and images from a generator that is trained for each replicate
def repeated(images, labels):
    """Each class as often as the largest one."""
    rng, largest = np.random.default_rng(0), np.bincount(labels).max()
    rows = [rng.choice(np.flatnonzero(labels == label), largest) for label in np.unique(labels)]
    return images[np.concatenate(rows)], labels[np.concatenate(rows)]


def generated(seed):
    """The same numbers, with images drawn from a generator."""
    return makeweight.GeneratorOverSampler("gaussian", random_state=seed).fit_resample(X_train, y_train)


# %% The verdict
if __name__ == "__main__":
    result = makeweight.compare(
        repeated(X_train, y_train), generated, fit, test=(X_test / 16, y_test), replicates=5, folder="predictions"
    )
    print(result.summary())
