"""The classifier of every arm: networks, transforms, mixing of real and synthetic images, training and scoring."""
