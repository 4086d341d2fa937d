"""What concerns a project as a whole."""
