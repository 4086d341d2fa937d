"""Statistics of the differences between arms."""
