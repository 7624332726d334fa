"""Pitch trackers: one file per tracker, the table of all of them in trackers."""
