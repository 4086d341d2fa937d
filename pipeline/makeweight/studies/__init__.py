"""Work that needs several of the packages below: choices on validation images, and automatic arms."""
