"""Trained voices on disk and in memory."""
