r"""Grounds sentences in a video with a SavedModel in this process, by the code of `export.client`.

Example:
    python -m benchmarks.ground_saved_model --saved_model=runs/export/gkcmn/1 --video=park.mp4 \
        --query="the red square moving left" --clip_seconds=1.92

Frames and features take the same way as with a model server, without a network between.
"""

import json

import numpy as np
import tensorflow as tf
from absl import app, flags

from export import client
from gkcmn_tf import program

FLAGS = flags.FLAGS


class LocalModel:
    """A SavedModel in this process, as a `export.client.Server`."""

    def __init__(self, folder: str):
        self.address = folder
        self._signatures = tf.saved_model.load(folder).signatures

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature."""
        found = self._signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()})
        return {name: value.numpy() for name, value in found.items()}

    def input_shape(self, signature: str, name: str) -> tuple[int, ...]:
        """Shape of an input, -1 for dynamic sizes."""
        _, inputs = self._signatures[signature].structured_input_signature
        return tuple(-1 if size is None else size for size in inputs[name].shape)


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("saved_model", None, "Folder of the SavedModel.", required=True)
    flags.DEFINE_string("video", None, "Video file.", required=True)
    flags.DEFINE_multi_string("query", None, "Sentence to ground; repeatable.", required=True)
    flags.DEFINE_float(
        "clip_seconds",
        None,
        "Length of overlapping clips to search; default: the video is one clip.",
        lower_bound=0.1,
    )


def main(argv):
    """Grounds each query and prints the tubes."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    answers = client.ground_video(
        LocalModel(FLAGS.saved_model), FLAGS.video, FLAGS.query, clip_seconds=FLAGS.clip_seconds
    )
    for answer in answers:
        print(json.dumps(answer))


if __name__ == "__main__":
    program.run(main, define_flags)
