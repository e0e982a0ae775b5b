"""Two logical CPUs, and the strategy that makes two replicas of them."""

import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(scope="session")
def two_replicas():
    """One for all tests: a second one in a process would reuse the first's collective keys."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
