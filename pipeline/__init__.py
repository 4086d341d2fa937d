"""Does synthetic augmentation help? The library behind the stages."""
