"""Quality of synthetic images."""
