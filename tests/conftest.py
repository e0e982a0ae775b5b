"""Shared settings and fixtures: threads, Ctrl-C, order, global state, two CPUs, Hypothesis."""

import csv
import os
import signal

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:
    # Workers share the cores, and so do the programs that tests start, which inherit this. Read
    # when TensorFlow and NumPy are imported.
    threads = str(max(1, os.cpu_count() // WORKERS))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(name, threads)

# A shell that runs tests in the background makes them, and the programs that they start, ignore
# Ctrl-C. (Resetting it with `preexec_fn` would fork, and gRPC's threads then write into the child.)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import hypothesis  # noqa: E402
import keras  # noqa: E402
import pytest  # noqa: E402
import tensorflow as tf  # noqa: E402

# No deadline on slow machines; deterministic examples.
hypothesis.settings.register_profile("reproducible", deadline=None, derandomize=True)
hypothesis.settings.load_profile("reproducible")

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

DTYPE_POLICY = keras.config.dtype_policy()
CELL_LIMIT = csv.field_size_limit()


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that no worker is left with a long file at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _global_settings():
    """No test finds the settings of the process that another one left behind."""
    yield
    keras.config.set_dtype_policy(DTYPE_POLICY)
    csv.field_size_limit(CELL_LIMIT)


@pytest.fixture(scope="session")
def two_replicas():
    """One strategy for all tests; a second one would reuse its collective keys."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
