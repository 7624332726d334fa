"""Look-ups among the frames of a target voice."""
