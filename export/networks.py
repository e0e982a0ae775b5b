"""The networks exported to TensorFlow Lite and ONNX: the grounding network and I3D."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf
from keras import ops

from gkcmn_tf.features import extraction
from gkcmn_tf.i3d import weight_sources
from gkcmn_tf.i3d.loading import load_i3d
from gkcmn_tf.searched_clips import longest_training_clip
from gkcmn_tf.trained_model import TrainedModel
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


def grounding(trained: TrainedModel, *, details: bool = False) -> Network:
    """Returns the grounding network with decoding, for one sentence in one clip.

    `features` float32 `[1, T, S, S, C]`, `step_mask` int32 `[1, T]` (1 at valid steps), `tokens`
    int32 `[1, N]` -> `segment` `[1, 2]` in steps, `score` `[1]`, `boxes` `[1, T, 4]` normalised;
    see `GroundingModel`. It computes in float32 for any precision of the model.

    The mask is int32, since not every runtime has tensors of bool (LiteRT.js has none).

    Args:
        trained: the trained model.
        details: whether to return all candidates as well, `segments` `[1, M, 2]` and `scores`
            `[1, M]`, negative at invalid steps, and, if the model has them, `heatmaps`
            `[1, T, L, L]`, probabilities.
    """
    model = _in_float32(trained)
    max_steps, max_words = trained.max_steps, trained.tokenizer.max_words

    def ground(features, step_mask, tokens):
        batch = {"features": features, "step_mask": step_mask != 0, "tokens": tokens[:, None]}
        outputs = model(batch, training=False)
        found = model.decode(batch, outputs)
        if details:
            found["segments"], found["scores"] = model.segments(batch, outputs)
            if "heatmaps" in outputs:
                found["heatmaps"] = ops.sigmoid(outputs["heatmaps"])
        return {name: value[:, 0] for name, value in found.items()}

    grid = trained.features["shape"]
    inputs = {
        "features": tf.TensorSpec([1, max_steps, *grid], tf.float32, "features"),
        "step_mask": tf.TensorSpec([1, max_steps], tf.int32, "step_mask"),
        "tokens": tf.TensorSpec([1, max_words], tf.int32, "tokens"),
    }
    metadata = {
        "name": trained.about.get("name", ""),
        "data": trained.about.get("data", ""),
        "vocabulary": trained.tokenizer.vocabulary[2:],
        "max_words": max_words,
        "max_steps": max_steps,
        "longest_clip_seconds": longest_training_clip(trained.about),
        "features": trained.features,
    }
    return Network("grounding", model, ground, inputs, metadata)


def i3d(trained: dict, source: str | None = None) -> Network:
    """Returns I3D with the weights that a model was trained with.

    `frames` uint8 `[1, 8, 224, 224, 3]`, RGB -> `features` float32 `[1, S, S, C]` of the window.

    Args:
        trained: the fingerprint of the features that the model was trained on.
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


def _in_float32(trained):
    """A copy of the model that computes in float32."""
    model = type(trained.model).from_config(trained.model.get_config() | {"dtype": "float32"})
    model.build(
        {
            "features": (None, trained.max_steps, *trained.features["shape"]),
            "step_mask": (None, trained.max_steps),
            "tokens": (None, 1, trained.tokenizer.max_words),
        }
    )
    model.built = True
    model.set_weights(trained.model.get_weights())
    return model
