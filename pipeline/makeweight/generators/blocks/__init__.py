"""Networks, losses and augmentation that families share."""
