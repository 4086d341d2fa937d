"""Decoding of image files and arrays."""
