"""Video files: frames, frame rates, windows and steps."""
