"""From recordings to a dataset, and what a dataset is worth."""
