"""Finding, checking and reading files of weights."""
