"""The diffusion family: from content, pitch and loudness to a mel spectrogram (models spec 9)."""
