"""The paper's modules, one Keras layer each."""
