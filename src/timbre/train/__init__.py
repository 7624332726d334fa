"""Training: from a dataset to a run of checkpoints."""
