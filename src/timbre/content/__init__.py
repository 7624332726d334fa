"""Content encoders: what is said or sung."""
