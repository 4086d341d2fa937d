"""Generative models: families, their training and what they draw."""
