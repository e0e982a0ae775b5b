"""Where I3D's variables come from: a TF Hub module, a DeepMind checkpoint, or a seed.

Variables are known by the names and shapes that the published Kinetics-400 RGB checkpoint gives
them. A set of variables that deviates from these is refused: a network with some weights left at
random still yields features, only useless ones.
"""

import hashlib
import os
import re
import tempfile

import numpy as np
import tensorflow as tf

from gkcmn_tf import extras
from gkcmn_tf.i3d.random_weights import RANDOM_PREFIX, random_seed, random_variables
from gkcmn_tf.i3d.variables import KINETICS_400_CLASSES, SCOPE, variable_shapes

_BOOKKEEPING = re.compile(
    r"(^|/)(global_step|beta[12]_power|Adam(_1)?|Momentum|RMSProp(_1)?|Adagrad)$"
)


def read_variables(source: str) -> dict[str, np.ndarray]:
    """Reads all of I3D's variables.

    Args:
        source: one of
            - a TF Hub handle, such as `https://tfhub.dev/deepmind/i3d-kinetics-400/1`, or a
              folder that holds a module in TF1 Hub format;
            - the prefix of a DeepMind checkpoint (`.../model.ckpt`, beside `model.ckpt.index`);
              one without the scope `RGB/inception_i3d/`, as that of Kinetics-600, is read too;
            - `random:SEED`, a seed of `random_variables`.

    Returns:
        float32 arrays by name, named and shaped as in `variable_shapes`, sorted by name.

    Raises:
        FileNotFoundError: if there is nothing at `source`, or it cannot be downloaded.
        ValueError: if the variables there are not those of an RGB I3D (lists each difference), or
            a seed is no number.
    """
    if source.startswith(RANDOM_PREFIX):
        return random_variables(random_seed(source))
    reader = tf.train.load_checkpoint(checkpoint_prefix(source))
    names = [n for n in reader.get_variable_to_shape_map() if not _BOOKKEEPING.search(n)]
    return _checked({name: reader.get_tensor(name) for name in names}, source)


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
    bits depend on the machine.
    """
    return fingerprint(read_variables(source))


def checkpoint_prefix(source: str) -> str:
    """The checkpoint that `source` is or holds, after a download where that is needed.

    A module in TF1 Hub format keeps its variables, under their names, in an ordinary checkpoint,
    so its graph, whose head fails on short clips, need not be loaded.
    """
    if source.startswith(("http://", "https://")):
        folder = _downloaded_module(source)
    elif tf.io.gfile.exists(f"{source}.index"):
        return source
    elif tf.io.gfile.isdir(source):
        folder = source
    else:
        raise FileNotFoundError(
            f"I3D weights: there is neither a folder {source!r} nor a checkpoint "
            f"{source + '.index'!r}. Expected a TF Hub handle, the folder of a TF1 Hub module, the "
            "prefix of a TensorFlow checkpoint (without .index), or random:SEED."
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
        cache = os.environ.get("TFHUB_CACHE_DIR") or os.path.join(
            tempfile.gettempdir(), "tfhub_modules"
        )
        entry = os.path.join(cache, hashlib.sha1(handle.encode()).hexdigest())
        raise FileNotFoundError(
            f"I3D weights: cannot download the TF Hub module {handle!r} ({error}), and it is not "
            f"in the cache {cache!r}. On a machine with a network fetch "
            f"'{handle}?tf-hub-format=compressed', unpack it into a folder here, and give that "
            f"folder instead of the handle; or unpack it into {entry!r} (set TFHUB_CACHE_DIR for "
            "another cache), where the handle will find it."
        ) from error


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
