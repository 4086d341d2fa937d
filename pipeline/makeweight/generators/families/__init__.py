"""Families of generative models, independent of each other."""
