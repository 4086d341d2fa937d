"""Validation, plan, creation and upgrade of a project."""
