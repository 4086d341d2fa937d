"""What takes images in."""
