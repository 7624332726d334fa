"""Voices made with so-vits-svc 4.0 and 4.1: read from its files, kept as a folder, rendered, written back."""
