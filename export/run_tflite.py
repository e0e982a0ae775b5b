r"""Grounds a sentence in a video with the two files of `export.tflite`, without TensorFlow.

Example:
    python -m export.run_tflite --model=grounding.tflite --i3d=i3d.tflite --video=park.mp4 \
        --query="the red square moving left"

Needs the packages ai-edge-litert, numpy, ml_dtypes, av and absl-py, and of this project the files
that the imports below name; no Keras. Prints a line of JSON for each query, as `gkcmn_tf.ground`
does, but draws no pictures.
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
    flags.DEFINE_string("model", None, "Grounding network of export.tflite.", required=True)
    flags.DEFINE_string("i3d", None, "I3D of export.tflite.", required=True)
    flags.DEFINE_string("video", None, "Video file.", required=True)
    flags.DEFINE_multi_string(
        "query", None, "Sentence; several share the work on the video.", required=True
    )
    flags.DEFINE_float("begin", None, "Search from here on, in seconds; default: the begin.")
    flags.DEFINE_float("end", None, "Search up to here, in seconds; default: the video's end.")
    flags.DEFINE_integer("threads", 2, "Threads to compute with.", lower_bound=1)


def main(argv):
    """Encodes the video, grounds each query, prints the tubes."""
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
    """Features float16 `[windows, S, S, C]` of a video."""

    features: np.ndarray
    source: frame_rates.SourceVideo


class Encoder:
    """I3D: makes the features of a video.

    Args:
        path: the file.
        trained: the fingerprint of the features that the grounding network was trained on.
        threads: to compute with.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds no I3D, or one that makes other features.
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
        # Where the same weights lie does not matter.
        if changed := [key for key in changed if key != "i3d_source"]:
            raise ValueError(
                f"{path}: features would differ from those that the grounding network was trained "
                f"on, in {changed}: trained on {trained}, now {now}"
            )
        self._fps = trained.get("fps")
        self._storage_dtype = trained.get("storage_dtype", "float16")
        self._network = Network(path, "i3d", threads)

    def encode(self, path: str) -> EncodedVideo:
        """Features of a whole video, as `FeatureExtractor` makes them; raises as it does."""
        stream = reading.decode_frames(path, fps=self._fps)
        features = [
            self._network(frames=frames[windows])["features"]
            for frames, windows, _ in window_batches(stream, batch_size=1)
        ]
        if stream.damage:
            logging.warning("%s: %s", path, stream.damage)
        features = np.concatenate(features).astype(np.float16)
        if not np.isfinite(features).all():
            raise ValueError(f"{path}: features are not finite in float16")
        features = as_stored(features, self._storage_dtype)
        return EncodedVideo(features, stream.source)


class Grounder:
    """The grounding network, with its vocabulary.

    Args:
        path: the file.
        threads: to compute with.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds no grounding network.

    Attributes:
        features: the fingerprint of the features that it was trained on.
    """

    def __init__(self, path: str, threads: int = 2):
        metadata = read_metadata(path, "grounding")
        self.features = metadata["features"]
        self._max_steps = metadata["max_steps"]
        self._tokenizer = Tokenizer(metadata["vocabulary"], metadata["max_words"])
        self._network = Network(path, "grounding", threads)

    def check_query(self, query: str) -> None:
        """Raises `ValueError` for a query without words; warns as `gkcmn_tf.ground` does."""
        check_sentence(query, self._tokenizer)

    def ground(self, encoded: EncodedVideo, query: str, begin: int, end: int) -> tubes.Tube:
        """The tube of a query in frames `[begin, end)` of an encoded video, resampled or not."""
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
        """`segment` `[2]`, `score` `[]` and `boxes` `[T, 4]` for the inputs of one sentence."""
        outputs = self._network(
            features=np.asarray(features, np.float32)[None],
            step_mask=np.asarray(step_mask)[None],
            tokens=np.asarray(tokens, np.int32)[None],
        )
        return {name: value[0] for name, value in outputs.items()}


class Network:
    """A file's signature as a function of named arrays; `ValueError` if the file is damaged."""

    def __init__(self, path: str, signature: str, threads: int):
        try:
            interpreter = Interpreter(path, num_threads=threads)
            self._run = interpreter.get_signature_runner(signature)
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path}: cannot be run: {error}") from error

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Runs it."""
        return self._run(**inputs)


def clip_inputs(
    features: np.ndarray, begin: int, end: int, max_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same as `gkcmn_tf.records.input_pipeline.clip_inputs`, in NumPy."""
    num_steps = steps.count_steps(begin, end, max_steps)
    windows = frame_windows(steps.step_frames(begin, end, num_steps))
    padded = np.zeros((max_steps, *features.shape[1:]), features.dtype)
    padded[:num_steps] = features[windows]
    return padded, np.arange(max_steps) < num_steps


if __name__ == "__main__":
    program.run(main, define_flags)
