"""Makeweight in other people's training code: datasets, samplers, augmentation, and the comparison."""
