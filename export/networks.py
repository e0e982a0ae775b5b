"""The networks exported to TensorFlow Lite and ONNX: the grounding network and I3D."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from gkcmn_tf.features import extraction
from gkcmn_tf.i3d import weight_sources
from gkcmn_tf.i3d.loading import load_i3d
from gkcmn_tf.searched_clips import longest_training_clip
from gkcmn_tf.training import run_folder
from gkcmn_tf.video import reading
from gkcmn_tf.video.windows import WINDOW_FRAMES

NETWORKS = ("grounding", "i3d")


@dataclasses.dataclass(frozen=True)
class Network:
    """An exported network.

    Attributes:
        name: one of `NETWORKS`.
        model: model with the weights.
        function: maps inputs by name to a dictionary of outputs.
        inputs: shape and dtype of each input, with a batch size of 1.
        metadata: other data needed to run the network, such as the vocabulary.
    """

    name: str
    model: keras.Model
    function: Callable[..., dict[str, tf.Tensor]]
    inputs: dict[str, tf.TensorSpec]
    metadata: dict


def grounding(run: run_folder.Run) -> Network:
    """Returns the grounding network with decoding, for one sentence in one clip.

    `features` float32 `[1, T, S, S, C]`, `step_mask` bool `[1, T]`, `tokens` int32 `[1, N]` ->
    `segment` `[1, 2]` in steps, `score` `[1]`, `boxes` `[1, T, 4]` normalised; see
    `GroundingModel`. It computes in float32 for any precision of the run.
    """
    model = _in_float32(run)
    data = run.config.data
    grid = (data.grid_size, data.grid_size, data.feature_channels)

    def ground(features, step_mask, tokens):
        batch = {"features": features, "step_mask": step_mask, "tokens": tokens[:, None]}
        decoded = model.decode(batch, model(batch, training=False))
        return {name: value[:, 0] for name, value in decoded.items()}

    inputs = {
        "features": tf.TensorSpec([1, data.max_steps, *grid], tf.float32, "features"),
        "step_mask": tf.TensorSpec([1, data.max_steps], tf.bool, "step_mask"),
        "tokens": tf.TensorSpec([1, data.max_words], tf.int32, "tokens"),
    }
    metadata = {
        "step": run.step,
        "vocabulary": run.tokenizer.vocabulary[2:],
        "max_words": data.max_words,
        "max_steps": data.max_steps,
        "longest_clip_seconds": longest_training_clip(run.as_trained_model().about),
        "features": run.features,
    }
    return Network("grounding", model, ground, inputs, metadata)


def i3d(trained: dict, source: str | None = None) -> Network:
    """Returns I3D with the weights that a model was trained with.

    `frames` uint8 `[1, 8, 224, 224, 3]`, RGB -> `features` float32 `[1, S, S, C]` of the window.

    Args:
        trained: the fingerprint saved with the run.
        source: location of the I3D weights, if it has changed.

    Raises:
        ValueError: the weights differ from those of training.
    """
    source = source or weight_sources.source_here(trained["i3d_source"], trained["i3d_sha256"])
    sha256 = weight_sources.source_fingerprint(source)
    if sha256 != trained["i3d_sha256"]:
        raise ValueError(
            f"{source}: has other I3D weights (SHA-256 {sha256}) than the model was trained on "
            f"({trained['i3d_sha256']})"
        )
    return of_i3d(trained, load_i3d(source, extraction.ENDPOINT))


def of_i3d(trained: dict, model: keras.Model) -> Network:
    """Returns the same for a `model` from `[B, 8, 224, 224, 3]` to `[B, 1, S, S, C]`."""
    size = reading.FRAME_SIZE

    def encode(frames):
        scaled = tf.cast(frames, tf.float32) / 127.5 - 1.0
        return {"features": model(scaled, training=False)[:, 0]}

    shape = [1, WINDOW_FRAMES, size, size, 3]
    inputs = {"frames": tf.TensorSpec(shape, tf.uint8, "frames")}
    return Network("i3d", model, encode, inputs, {"features": trained})


def _in_float32(run):
    config = run.config.replace(runtime=run.config.runtime.replace(precision="float32"))
    model = run_folder.build_model(config, run.tokenizer.vocabulary_size)
    model.set_weights(run.model.get_weights())
    return model
