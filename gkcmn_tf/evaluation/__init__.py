"""Evaluation: metrics, predictions and tables."""
