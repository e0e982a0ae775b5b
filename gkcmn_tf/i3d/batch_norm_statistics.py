"""Batch-norm statistics for random weights, from generated clips.

Those of `random:0`, the weights of the demo, are in the package, as they take seconds to compute.
`write_statistics` writes the file.
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from gkcmn_tf.files import whole_file
from gkcmn_tf.i3d.network import build_i3d, normalization_name
from gkcmn_tf.i3d.variables import SCOPE
from gkcmn_tf.video.reading import FRAME_SIZE
from gkcmn_tf.video.windows import WINDOW_FRAMES

NUM_OBJECTS = 4
PACKAGED_SEED = 0
PACKAGED_FILE = pathlib.Path(__file__).with_name("random_0_statistics.npz")


def with_random_statistics(variables: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Returns the random `variables` of a seed with statistics from `calibration_clips(seed)`."""
    if seed != PACKAGED_SEED:
        return calibrate(variables, calibration_clips(seed))
    with np.load(PACKAGED_FILE) as statistics:
        return variables | {name.replace("|", "/"): value for name, value in statistics.items()}


def write_statistics(variables: dict[str, np.ndarray]) -> None:
    """Writes the file in the package; `variables` are those of `random:0`."""
    calibrated = calibrate(variables, calibration_clips(PACKAGED_SEED))
    statistics = {
        name.replace("/", "|"): value for name, value in calibrated.items() if "/moving_" in name
    }
    with whole_file(str(PACKAGED_FILE)) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **statistics)


def calibrate(variables: dict[str, np.ndarray], clips: np.ndarray) -> dict[str, np.ndarray]:
    """Sets all batch-norm statistics to those of the activations on `clips`, in one pass.

    With random weights and statistics of 0 and 1, activations would vanish or explode with depth,
    and channels would differ in little but their mean.

    Args:
        variables: from `weight_sources.read_variables`; not modified.
        clips: float32 `[B, F, H, W, 3]` in [-1, 1].

    Returns:
        `variables` with new `moving_mean` and `moving_variance`.
    """
    model = build_i3d(variables, fold_batch_norm=False)
    normalizations = {
        layer.name: layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    for layer in normalizations.values():
        layer.momentum = 0.0
    # As a graph, which frees each activation after its last use: 1 GB less than eager execution.
    tf.function(model)(tf.constant(clips), training=True)
    calibrated = dict(variables)
    for name in variables:
        unit, _, vector = name.removeprefix(SCOPE).partition("/batch_norm/")
        if vector.startswith("moving_"):
            value = getattr(normalizations[normalization_name(unit)], vector)
            calibrated[name] = keras.ops.convert_to_numpy(value)
    return calibrated


def calibration_clips(seed: int, num_clips: int = 8) -> np.ndarray:
    """Returns clips of coloured squares and disks that move over a background of blocks.

    Args:
        seed: random seed.
        num_clips: `B`.

    Returns:
        float32 `[B, 8, 224, 224, 3]` in [-1, 1]: `WINDOW_FRAMES` frames of `FRAME_SIZE`.
    """
    rng = np.random.default_rng(seed)
    frames, size = WINDOW_FRAMES, FRAME_SIZE
    time = np.arange(frames)[:, None, None] - (frames - 1) / 2
    y, x = np.mgrid[:size, :size] + 0.5
    clips = np.empty((num_clips, frames, size, size, 3), np.float32)
    for clip in clips:
        blocks = int(rng.integers(4, 29))
        colours = rng.uniform(-0.8, 0.8, (blocks, blocks, 3))
        block_of_pixel = np.arange(size) * blocks // size
        clip[:] = colours[block_of_pixel][:, block_of_pixel]
        for _ in range(NUM_OBJECTS):
            centre = rng.uniform(0, size, 2)
            velocity = rng.uniform(-8, 8, 2) * (rng.random() < 0.75)
            radius = rng.uniform(10, 36)
            dx = np.abs(x - centre[0] - velocity[0] * time)
            dy = np.abs(y - centre[1] - velocity[1] * time)
            square = rng.random() < 0.5
            inside = np.maximum(dx, dy) < radius if square else dx**2 + dy**2 < radius**2
            clip[inside] = rng.uniform(-1, 1, 3)
    return clips
