"""Frames, and the one way to make them."""
