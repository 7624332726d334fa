"""Speaker encoders: who says it."""
