"""Duplicates, groups and splits."""
