"""The fast family: small, causal, whole and in steps."""
