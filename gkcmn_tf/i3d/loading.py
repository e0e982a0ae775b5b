"""Builds I3D with weights from any source."""

import keras
import numpy as np

from gkcmn_tf.i3d.batch_norm_statistics import with_random_statistics
from gkcmn_tf.i3d.network import build_i3d
from gkcmn_tf.i3d.random_weights import random_seed
from gkcmn_tf.i3d.weight_sources import read_variables


def load_i3d(
    source: str,
    endpoint: str = "Mixed_5c",
    *,
    dtype: str = "float32",
    fold_batch_norm: bool = True,
) -> keras.Model:
    """Builds I3D with the weights of `source`.

    Args:
        source: `kinetics400`, a TF Hub handle, the folder of a TF1 Hub module, the prefix of a
            DeepMind checkpoint, an `.npz` file, or `random:SEED` (see
            `weight_sources.read_variables`). The batch-norm statistics of random weights are
            calibrated (see `with_random_statistics`).
        endpoint: see `build_i3d`.
        dtype: see `build_i3d`.
        fold_batch_norm: see `build_i3d`.

    Returns:
        See `build_i3d`.

    Raises:
        FileNotFoundError: `source` does not exist or cannot be downloaded.
        ValueError: the variables are not those of an RGB I3D, or the endpoint is unknown.
    """
    variables = read_variables(source)
    return i3d_from_variables(
        variables, source, endpoint, dtype=dtype, fold_batch_norm=fold_batch_norm
    )


def i3d_from_variables(
    variables: dict[str, np.ndarray],
    source: str,
    endpoint: str = "Mixed_5c",
    *,
    dtype: str = "float32",
    fold_batch_norm: bool = True,
) -> keras.Model:
    """Builds I3D like `load_i3d`, from the `variables` of `read_variables(source)`."""
    return build_i3d(
        with_statistics(variables, source), endpoint, dtype=dtype, fold_batch_norm=fold_batch_norm
    )


def with_statistics(variables: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Returns `variables`; batch-norm statistics are calibrated if `source` is random."""
    seed = random_seed(source)
    return variables if seed is None else with_random_statistics(variables, seed)
