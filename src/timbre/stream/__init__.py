"""Live conversion."""
