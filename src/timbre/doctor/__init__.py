"""Examines an installation: packages, devices, weights, and whether a short conversion comes out right."""
