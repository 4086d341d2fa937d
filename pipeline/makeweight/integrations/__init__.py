"""Makeweight in other people's code: exports, datasets, samplers, transforms, and the comparison of own trainings."""
