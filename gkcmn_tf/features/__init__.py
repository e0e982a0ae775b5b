"""I3D features of a video: made, rounded and stored."""
