"""Shared fixtures and settings: two logical CPUs, two replicas, Hypothesis profile."""

import hypothesis
import pytest
import tensorflow as tf

# No deadline on slow machines; deterministic examples.
hypothesis.settings.register_profile("reproducible", deadline=None, derandomize=True)
hypothesis.settings.load_profile("reproducible")

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(scope="session")
def two_replicas():
    """One strategy for all tests; a second one would reuse its collective keys."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
