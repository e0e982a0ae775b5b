"""Training: the steps, checkpoints, and the folder of a run."""
