r"""Grounds sentences in a video with TensorFlow Lite files, without TensorFlow.

Example:
    python -m export.run_tflite --model=grounding.tflite --i3d=i3d.tflite --video=park.mp4 \
        --query="the red square moving left"

Both files are written by `export.tflite`. Required packages are ai-edge-litert, numpy, ml_dtypes,
av and absl-py; Keras is not needed. The program prints a line of JSON per query, like
`gkcmn_tf.ground`, but without the path of the video, and draws no images.
"""

import dataclasses
import json

import numpy as np
from absl import app, flags, logging
from ai_edge_litert.interpreter import Interpreter

from gkcmn_tf import program, tubes
from gkcmn_tf.features.quantization import as_stored
from gkcmn_tf.queries import check_sentence, clip_frames, in_file_frames
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.video import frame_rates, reading, steps
from gkcmn_tf.video.windows import WINDOW_FRAMES, WINDOW_STRIDE, frame_windows, window_batches

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
    encoded = encoder.encode(FLAGS.video)
    timeline = encoded.source.timeline
    begin, end = clip_frames(timeline, FLAGS.begin, FLAGS.end)
    clip = timeline.to_samples(begin, end)
    for query in FLAGS.query:
        tube = in_file_frames(grounder.ground(encoded, query, *clip), encoded.source, end, query)
        print(json.dumps(tube.to_json()))


@dataclasses.dataclass(frozen=True)
class EncodedVideo:
    """Features of a video, float16 `[windows, S, S, C]`."""

    features: np.ndarray
    source: frame_rates.SourceVideo


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
        self._fps = trained.get("fps")
        self._storage_dtype = trained.get("storage_dtype", "float16")
        self._network = Network(path, "i3d", threads)

    def encode(self, path: str) -> EncodedVideo:
        """Extracts the features of a video; same result and errors as `FeatureExtractor`."""
        stream = reading.decode_frames(path, fps=self._fps)
        features = [
            self._network(frames=frames[windows])["features"]
            for frames, windows, _ in window_batches(stream, batch_size=1)
        ]
        for message in filter(None, [stream.damage, *stream.notices]):
            logging.warning("%s: %s", path, message)
        features = np.concatenate(features).astype(np.float16)
        if not np.isfinite(features).all():
            raise ValueError(f"{path}: features are not finite in float16")
        features = as_stored(features, self._storage_dtype)
        return EncodedVideo(features, stream.source)


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
    """

    def __init__(self, path: str, threads: int = 2):
        metadata = read_metadata(path, "grounding")
        self.features = metadata["features"]
        self._max_steps = metadata["max_steps"]
        self._tokenizer = Tokenizer(metadata["vocabulary"], metadata["max_words"])
        self._network = Network(path, "grounding", threads)

    def check_query(self, query: str) -> None:
        """Validates a query; same warnings as `gkcmn_tf.ground`, `ValueError` without words."""
        check_sentence(query, self._tokenizer)

    def ground(self, encoded: EncodedVideo, query: str, begin: int, end: int) -> tubes.Tube:
        """Grounds a query in (resampled) frames `[begin, end)` of an encoded video."""
        features, step_mask = clip_inputs(encoded.features, begin, end, self._max_steps)
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
            step_mask=np.asarray(step_mask)[None],
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


def clip_inputs(
    features: np.ndarray, begin: int, end: int, max_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """NumPy version of `gkcmn_tf.records.input_pipeline.clip_inputs`."""
    num_steps = steps.count_steps(begin, end, max_steps)
    windows = frame_windows(steps.step_frames(begin, end, num_steps))
    padded = np.zeros((max_steps, *features.shape[1:]), features.dtype)
    padded[:num_steps] = features[windows]
    return padded, np.arange(max_steps) < num_steps


if __name__ == "__main__":
    program.run(main, define_flags)
