"""Files, replicates, processes and the machine that they run on."""
