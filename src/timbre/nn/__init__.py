"""Layers known to no task, each working whole and in steps."""
