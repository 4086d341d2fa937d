"""Generative models: families, training and sampling."""
