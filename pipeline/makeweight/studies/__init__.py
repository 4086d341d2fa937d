"""Work that trains through several of the packages below: choices on validation images."""
