"""Random weights of I3D from a seed, the same on every machine."""

import math

import numpy as np

from gkcmn_tf.i3d.variables import SCOPE, variable_shapes

RANDOM_PREFIX = "random:"
# Weight of each tap of a random kernel along one axis (see `random_variables`).
_KERNEL_ENVELOPES = {
    1: (1.0,),
    3: (0.36, 1.0, 0.36),
    7: (0.2, 0.5, 0.85, 1.0, 0.85, 0.5, 0.2),
}


def random_seed(source: str) -> int | None:
    """The seed of a source `random:SEED`; None if `source` is of another kind.

    Raises:
        ValueError: if SEED is not a whole number of at least 0.
    """
    if not source.startswith(RANDOM_PREFIX):
        return None
    seed = source.removeprefix(RANDOM_PREFIX)
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
