"""Where I3D's variables come from: a TF Hub module, a DeepMind checkpoint, or a seed.

Variables are known by the names and shapes that the published Kinetics-400 RGB checkpoint gives
them. A set of variables that deviates from these is refused: a network with some weights left at
random still yields features, only useless ones.
"""

import hashlib
import math
import os
import re
import tempfile

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

SCOPE = "RGB/inception_i3d/"
KINETICS_400_CLASSES = 400

# Channels of each Mixed block: branch 0 (1x1), branch 1 (1x1, 3x3), branch 2 (1x1, 3x3) and
# branch 3 (1x1 after a pool).
MIXED_WIDTHS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}

_RANDOM = "random:"
_BOOKKEEPING = re.compile(
    r"(^|/)(global_step|beta[12]_power|Adam(_1)?|Momentum|RMSProp(_1)?|Adagrad)$"
)

# Weight of each tap of a random kernel along one axis (see `random_variables`).
_KERNEL_ENVELOPES = {
    1: (1.0,),
    3: (0.36, 1.0, 0.36),
    7: (0.2, 0.5, 0.85, 1.0, 0.85, 0.5, 0.2),
}


def mixed_units(block: str) -> tuple[str, ...]:
    """Names of the six convolution units of a Mixed block, in the order of `MIXED_WIDTHS`."""
    # The published checkpoint names this one unit differently.
    second_of_branch_2 = "Conv3d_0a_3x3" if block == "Mixed_5b" else "Conv3d_0b_3x3"
    return (
        f"{block}/Branch_0/Conv3d_0a_1x1",
        f"{block}/Branch_1/Conv3d_0a_1x1",
        f"{block}/Branch_1/Conv3d_0b_3x3",
        f"{block}/Branch_2/Conv3d_0a_1x1",
        f"{block}/Branch_2/{second_of_branch_2}",
        f"{block}/Branch_3/Conv3d_0b_1x1",
    )


def variable_shapes(num_classes: int = KINETICS_400_CLASSES) -> dict[str, tuple[int, ...]]:
    """Name and shape of every variable of the RGB I3D, sorted by name."""
    kernels = {
        "Conv3d_1a_7x7": (7, 7, 7, 3, 64),
        "Conv3d_2b_1x1": (1, 1, 1, 64, 64),
        "Conv3d_2c_3x3": (3, 3, 3, 64, 192),
    }
    channels = 192
    for block, (b0, b1_in, b1, b2_in, b2, b3) in MIXED_WIDTHS.items():
        sizes = (1, 1, 3, 1, 3, 1)
        channels_in = (channels, channels, b1_in, channels, b2_in, channels)
        channels_out = MIXED_WIDTHS[block]
        for unit, k, c_in, c_out in zip(
            mixed_units(block), sizes, channels_in, channels_out, strict=True
        ):
            kernels[unit] = (k, k, k, c_in, c_out)
        channels = b0 + b1 + b2 + b3
    shapes = {}
    for unit, kernel in kernels.items():
        shapes[f"{SCOPE}{unit}/conv_3d/w"] = kernel
        for vector in ("beta", "moving_mean", "moving_variance"):
            shapes[f"{SCOPE}{unit}/batch_norm/{vector}"] = kernel[-1:]
    logits = f"{SCOPE}Logits/Conv3d_0c_1x1/conv_3d"
    shapes[f"{logits}/w"] = (1, 1, 1, channels, num_classes)
    shapes[f"{logits}/b"] = (num_classes,)
    return dict(sorted(shapes.items()))


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
    if source.startswith(_RANDOM):
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


def random_seed(source: str) -> int | None:
    """The seed of a source `random:SEED`; None if `source` is of another kind.

    Raises:
        ValueError: if SEED is not a whole number of at least 0.
    """
    if not source.startswith(_RANDOM):
        return None
    seed = source.removeprefix(_RANDOM)
    if not seed.isdecimal():
        raise ValueError(f"I3D weights {source!r}: expected random:SEED, SEED a whole number")
    return int(seed)


def random_variables(seed: int) -> dict[str, np.ndarray]:
    """Random weights of an I3D, the same on every machine; the statistics are still 0 and 1.

    Kernels are He-uniform, with three changes that let more of colour, shape, place and motion
    through to the last layer. Taps weigh less away from a kernel's centre, so that a cell of the
    output tells more of its own place. A quarter of the first layer's kernels have no mean over
    time: they are blind to what stands still, so that motion is not drowned by it. And `beta` is
    spread over one standard deviation, so that units differ in how rarely they fire.

    Only additions and products of single elements are used: other operations may round
    differently elsewhere, which would change the `fingerprint`.
    """
    rng = np.random.default_rng(seed)
    variables = {}
    for name, shape in variable_shapes().items():
        kind = name.rsplit("/", 1)[1]
        if kind == "w":
            envelope = _KERNEL_ENVELOPES[shape[0]]
            fan_in = shape[3] * sum(weight**2 for weight in envelope) ** 3
            kernel = _uniform(rng, shape) * np.float32(math.sqrt(6 / fan_in))
            taps = np.float32(envelope)
            kernel *= taps[:, None, None, None, None]
            kernel *= taps[:, None, None, None]
            kernel *= taps[:, None, None]
            if name == f"{SCOPE}Conv3d_1a_7x7/conv_3d/w":
                motion = kernel[..., : shape[-1] // 4]
                motion -= sum(motion) / np.float32(shape[0])
            variables[name] = kernel
        elif kind == "beta":
            variables[name] = _uniform(rng, shape)
        else:
            variables[name] = np.full(shape, kind == "moving_variance", np.float32)
    return variables


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 2 * rng.random(shape, dtype=np.float32) - 1


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
