"""Training: trainer, checkpoints and run folders."""
