"""Image files and arrays to pixels."""
