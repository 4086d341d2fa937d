"""Kinds of generative models. None imports another."""
