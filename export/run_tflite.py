r"""Grounds sentences in a video with TensorFlow Lite files, without TensorFlow.

Example:
    python -m export.run_tflite --model=grounding.tflite --i3d=i3d.tflite --video=park.mp4 \
        --query="the red square moving left"

Both files are written by `export.tflite`. Required packages are ai-edge-litert, numpy, ml_dtypes,
av and absl-py; Keras is not needed. The program prints a line of JSON per query, like
`gkcmn_tf.ground`, but without the path of the video, and draws no images.
"""

import json
from collections.abc import Callable, Sequence

import numpy as np
from absl import app, flags, logging
from ai_edge_litert.interpreter import Interpreter

from gkcmn_tf import program, tubes
from gkcmn_tf.encoded_video import EncodedVideo, encode_windows
from gkcmn_tf.queries import check_sentence, in_file_frames
from gkcmn_tf.searched_clips import AUTO, SEARCHES, ClipSearch
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.video import frame_rates, reading
from gkcmn_tf.video.windows import WINDOW_FRAMES, WINDOW_STRIDE

from .tflite_files import read_metadata

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model", None, "Grounding network, *.tflite.", required=True)
    flags.DEFINE_string("i3d", None, "I3D network, *.tflite.", required=True)
    flags.DEFINE_string("video", None, "Video file.", required=True)
    flags.DEFINE_multi_string("query", None, "Sentence to ground; repeatable.", required=True)
    flags.DEFINE_float(
        "begin", None, "Start of the clip to search, in seconds; default: start of the video."
    )
    flags.DEFINE_float(
        "end", None, "End of the clip to search, in seconds; default: end of the video."
    )
    flags.DEFINE_enum("search", AUTO, SEARCHES, "How to search; see gkcmn_tf.ground.")
    flags.DEFINE_integer("threads", 2, "Number of CPU threads.", lower_bound=1)


def main(argv):
    """Encodes the video, grounds each query and prints the tubes."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    grounder = Grounder(FLAGS.model, FLAGS.threads)
    encoder = Encoder(FLAGS.i3d, grounder.features, FLAGS.threads)
    for query in FLAGS.query:
        grounder.check_query(query)

    search = grounder.clip_search(FLAGS.begin, FLAGS.end, FLAGS.search)
    encoded = encoder.encode(FLAGS.video, search.windows)
    clips = search.clips(encoded.source.timeline)
    for query in FLAGS.query:
        print(json.dumps(grounder.search(encoded, query, clips).to_json()))


class Encoder:
    """Extracts features with the I3D network.

    Args:
        path: TensorFlow Lite file of I3D.
        trained: feature fingerprint of the grounding network's training data.
        threads: number of CPU threads.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not an I3D network, or its features differ from those of training.
    """

    def __init__(self, path: str, trained: dict, threads: int = 2):
        made = read_metadata(path, "i3d")["features"]
        now = made | {
            "window_frames": WINDOW_FRAMES,
            "window_stride": WINDOW_STRIDE,
            "frame_size": reading.FRAME_SIZE,
            "resize": reading.RESIZE,
        }
        changed = sorted(key for key in trained.keys() | now if trained.get(key) != now.get(key))
        # The location of the weights is irrelevant; their checksum is compared.
        if changed := [key for key in changed if key != "i3d_source"]:
            raise ValueError(
                f"{path}: feature settings {changed} differ from those of the grounding network's "
                f"training: trained on {trained}, now {now}; export I3D with the run's settings"
            )
        self._fingerprint = trained
        self._network = Network(path, "i3d", threads)

    def encode(
        self, path: str, windows_of: Callable[[frame_rates.Timeline], Sequence[int]]
    ) -> EncodedVideo:
        """Encodes some windows of a video; same result and errors as `FeatureExtractor.encode`."""

        def compute(frames, windows):
            return self._network(frames=frames[windows])["features"]

        return encode_windows(path, compute, windows_of, self._fingerprint)


class Grounder:
    """The grounding network with its vocabulary.

    Args:
        path: TensorFlow Lite file of the grounding network.
        threads: number of CPU threads.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not a grounding network.

    Attributes:
        features: feature fingerprint of the training data.
        max_steps: `T`, maximum number of steps of a clip.
    """

    def __init__(self, path: str, threads: int = 2):
        metadata = read_metadata(path, "grounding")
        self.features = metadata["features"]
        self.max_steps = metadata["max_steps"]
        self._longest_clip = metadata["longest_clip_seconds"]
        self._tokenizer = Tokenizer(metadata["vocabulary"], metadata["max_words"])
        self._network = Network(path, "grounding", threads)

    def check_query(self, query: str) -> None:
        """Validates a query; same warnings as `gkcmn_tf.ground`, `ValueError` without words."""
        check_sentence(query, self._tokenizer)

    def clip_search(
        self, begin: float | None = None, end: float | None = None, search: str = AUTO
    ) -> ClipSearch:
        """Which clips of a video are searched; arguments as `ClipSearch`."""
        return ClipSearch(self.max_steps, self._longest_clip, begin, end, search)

    def search(
        self, encoded: EncodedVideo, query: str, clips: Sequence[tuple[int, int]]
    ) -> tubes.Tube:
        """Returns the tube with the highest score in clips of an encoded video, in its frames."""
        timeline = encoded.source.timeline
        found = (
            in_file_frames(
                self.ground(encoded, query, *timeline.to_samples(*clip)),
                encoded.source,
                clip,
                query,
            )
            for clip in clips
        )
        return max(found, key=lambda tube: tube.score)

    def ground(self, encoded: EncodedVideo, query: str, begin: int, end: int) -> tubes.Tube:
        """Grounds a query in (resampled) frames `[begin, end)` of an encoded video."""
        features, step_mask = encoded.clip_inputs(begin, end, self.max_steps)
        found = self.decode(features, step_mask, self._tokenizer(query))
        return tubes.tube_from_steps(
            found["segment"],
            found["boxes"][step_mask],
            begin=begin,
            end=end,
            width=encoded.source.width,
            height=encoded.source.height,
            score=float(found["score"]),
        )

    def decode(self, features, step_mask, tokens) -> dict[str, np.ndarray]:
        """Returns `segment` `[2]`, `score` `[]` and `boxes` `[T, 4]` for one sentence."""
        outputs = self._network(
            features=np.asarray(features, np.float32)[None],
            step_mask=np.asarray(step_mask, np.int32)[None],
            tokens=np.asarray(tokens, np.int32)[None],
        )
        return {name: value[0] for name, value in outputs.items()}


class Network:
    """Runs a signature of a TensorFlow Lite file; `ValueError` if the file is damaged."""

    def __init__(self, path: str, signature: str, threads: int):
        try:
            interpreter = Interpreter(path, num_threads=threads)
            self._run = interpreter.get_signature_runner(signature)
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path}: cannot be loaded: {error}") from error

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the network on named inputs."""
        return self._run(**inputs)


if __name__ == "__main__":
    program.run(main, define_flags)
