"""The classifier that judges synthetic images, and its training data."""
