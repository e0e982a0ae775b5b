"""Records of clips with their sentences, and the input pipeline."""
