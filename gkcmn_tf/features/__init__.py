"""I3D features: extraction, quantization and storage."""
