"""Evaluation: metrics, predictions of a split, tables."""
