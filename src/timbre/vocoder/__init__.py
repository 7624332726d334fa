"""Mel spectrogram and pitch into sound."""
