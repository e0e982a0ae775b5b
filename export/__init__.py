"""Programs that turn a trained run into something others can serve."""
