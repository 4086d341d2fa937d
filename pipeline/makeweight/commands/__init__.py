"""One command for each kind of stage."""
