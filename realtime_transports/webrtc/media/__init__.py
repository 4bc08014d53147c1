"""The media path: PCM to RTP and back."""
