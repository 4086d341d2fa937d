"""Networks, losses, augmentation and training data of all families."""
