"""Training loops: checkpoints, monitors, EMA, stacking of replicates, random-number streams."""
