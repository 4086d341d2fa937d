"""Conditional GANs."""
