"""What all tests share: two logical CPUs, two replicas on them, and how properties are tested."""

import hypothesis
import pytest
import tensorflow as tf

# A busy machine is no failure, and the same commit passes or fails every time.
hypothesis.settings.register_profile("reproducible", deadline=None, derandomize=True)
hypothesis.settings.load_profile("reproducible")

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(scope="session")
def two_replicas():
    """One for all tests: a second one in a process would reuse the first's collective keys."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
