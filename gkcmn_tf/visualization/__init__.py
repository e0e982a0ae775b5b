"""Pictures: tubes drawn into videos, panels for TensorBoard."""
