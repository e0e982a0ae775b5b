"""Random weights of I3D from a seed, identical on every machine."""

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
    """Returns the seed of a source `random:SEED`, None for other sources.

    Raises:
        ValueError: SEED is not a whole number of at least 0.
    """
    if not source.startswith(RANDOM_PREFIX):
        return None
    seed = source.removeprefix(RANDOM_PREFIX)
    if not seed.isdecimal():
        raise ValueError(f"I3D weights {source!r}: expected random:SEED, SEED a whole number")
    return int(seed)


def random_variables(seed: int) -> dict[str, np.ndarray]:
    """Returns random weights of I3D, identical on every machine, with statistics of 0 and 1.

    Kernels are He-uniform, with three changes that preserve more information about colour, shape,
    position and motion up to the last layer. Taps have smaller weights away from the centre of the
    kernel, so that a cell of the output depends more on its own position. A quarter of the kernels
    of the first layer have zero mean over time and so respond to motion only. `beta` is drawn from
    a range of one standard deviation, so that units differ in their activation rate.

    Only elementwise additions and products are used: other operations may round differently on
    other machines, which would change the `fingerprint`.
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
