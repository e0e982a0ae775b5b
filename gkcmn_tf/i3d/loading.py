"""I3D with weights of any source."""

import keras
import numpy as np

from gkcmn_tf.i3d.calibration import calibrate, calibration_clips
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
            `weight_sources.read_variables`). Random weights come with calibrated batch-norm
            statistics (see `calibrate`).
        endpoint: see `build_i3d`, as for the arguments below.
        dtype: of the computation.
        fold_batch_norm: whether convolutions take in the batch normalisation.

    Returns:
        See `build_i3d`.

    Raises:
        FileNotFoundError: if there is nothing at `source`, or it cannot be downloaded.
        ValueError: if the variables there are not those of an RGB I3D, or there is no such
            endpoint.
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
    """`load_i3d` with the `variables` that `read_variables(source)` gave."""
    return build_i3d(
        with_statistics(variables, source), endpoint, dtype=dtype, fold_batch_norm=fold_batch_norm
    )


def with_statistics(variables: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """The `variables` of `source`; random ones with calibrated batch-norm statistics."""
    seed = random_seed(source)
    return variables if seed is None else calibrate(variables, calibration_clips(seed))
