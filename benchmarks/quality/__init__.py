"""Parts of the quality benchmark: the held-out pairs and the baseline without learning."""
