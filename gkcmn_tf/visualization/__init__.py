"""Visualization: overlays on videos and panels for TensorBoard."""
