"""GKCMN: Gaussian kernel-based cross-modal network for spatio-temporal video grounding."""
