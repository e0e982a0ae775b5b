r"""Classifies a video with I3D, to check the weights and the decoding of videos.

Example:
    python -m gkcmn_tf.i3d.classify --video=clip.mp4 --i3d_weights=kinetics400

The published weights recognize the 400 classes of human actions of Kinetics-400, such as "playing
cricket" or "arm wrestling". For a video of such an action, its class should be the most likely one;
otherwise the weights or the video are not read correctly. The video is decoded as by
`data.prepare`: all frames, or --fps frames per second, resized to 224 x 224.

The video is divided into stretches of 64 frames, the last one of 16 to 79 frames. Classes are
printed for each stretch, and for the whole video from the mean of the logits, weighted by frames.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from absl import app, flags, logging

from gkcmn_tf import program
from gkcmn_tf.i3d import published_weights, weight_sources
from gkcmn_tf.i3d.network import build_i3d
from gkcmn_tf.i3d.random_weights import random_seed
from gkcmn_tf.video import reading

FLAGS = flags.FLAGS
TOP = 5
STRETCH_FRAMES = 64
LEAST_LAST_FRAMES = 16  # fewer remaining frames are added to the previous stretch
LEAST_FRAMES = 9  # minimum length of a clip for I3D's logits


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("video", None, "Video file.")
    flags.DEFINE_string("i3d_weights", published_weights.KINETICS_400, weight_sources.DESCRIPTION)
    flags.DEFINE_float("fps", None, "Frame rate to resample to; default: all frames are used.")
    flags.DEFINE_boolean("json", False, "Print one line of JSON instead of a table.")
    flags.mark_flag_as_required("video")


def main(argv):
    """Loads the network, classifies the video and prints the classes."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    stream = reading.decode_frames(FLAGS.video, fps=FLAGS.fps)
    variables = class_variables(FLAGS.i3d_weights)
    sha256 = weight_sources.fingerprint(variables)
    network = build_i3d(variables, "Logits")
    stretches = list(
        classify(stream, lambda clip: np.asarray(network(clip[None], training=False))[0])
    )
    if stream.damage:
        logging.warning("%s: %s", FLAGS.video, stream.damage)
    report = {
        "video": FLAGS.video,
        "i3d_weights": FLAGS.i3d_weights,
        "sha256": sha256,
        "known_as": published_weights.known_as(sha256),
        "frames": stream.count,
        "classes": top_classes(mean_logits(stretches)),
        "stretches": [
            {
                "frames": [stretch.begin_frame, stretch.end_frame],
                "seconds": [round(stretch.begin, 3), round(stretch.end, 3)],
                "classes": top_classes(stretch.logits),
            }
            for stretch in stretches
        ],
    }
    print(json.dumps(report, ensure_ascii=False) if FLAGS.json else as_table(report))


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Logits of a part of a video.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.i3d.classify import Stretch
        >>> stretch = Stretch(0, 64, 0.0, 2.56, np.zeros(400, np.float32))
        >>> stretch.end_frame - stretch.begin_frame, stretch.logits.shape
        (64, (400,))

    Attributes:
        begin_frame: first frame.
        end_frame: end frame (exclusive).
        begin: begin in seconds.
        end: end in seconds.
        logits: float32 `[400]`.
    """

    begin_frame: int
    end_frame: int
    begin: float
    end: float
    logits: np.ndarray


def class_variables(source: str) -> dict[str, np.ndarray]:
    """Reads I3D's variables and checks that their classes are those of Kinetics-400.

    Raises:
        FileNotFoundError: as `weight_sources.read_variables`.
        ValueError: likewise; or the weights are random or have another number of classes.
    """
    if random_seed(source) is not None:
        raise ValueError(
            f"I3D weights {source!r} are random and have no classes; use trained weights such as "
            f"{published_weights.KINETICS_400}"
        )
    variables = weight_sources.read_variables(source)
    expected = len(published_weights.labels())
    if (found := variables[published_weights.LOGITS_BIAS].size) != expected:
        raise ValueError(
            f"I3D weights {source!r} have {found} classes; expected the {expected} of Kinetics-400"
        )
    return variables


def classify(
    stream: reading.FrameStream, logits_of: Callable[[np.ndarray], np.ndarray]
) -> Iterator[Stretch]:
    """Computes the logits of each stretch of a video; memory contains one stretch at most.

    Args:
        stream: uint8 RGB frames.
        logits_of: maps a clip, float32 `[F, H, W, 3]` in [-1, 1], to its logits.

    Yields:
        the stretches in temporal order.
    """
    begin_frame = 0
    for stretch in cut(_with_times(stream)):
        frames = [frame for frame, _, _ in stretch]
        begin, end = float(stretch[0][1]), float(stretch[-1][2])
        # A video with fewer frames is extended by repeating the last one.
        held = frames + frames[-1:] * (LEAST_FRAMES - len(frames))
        clip = np.stack(held).astype(np.float32) / 127.5 - 1
        end_frame = begin_frame + len(frames)
        yield Stretch(begin_frame, end_frame, begin, end, logits_of(clip))
        begin_frame = end_frame


def _with_times(stream):
    """Yields each frame with its begin and end time."""
    for frame in stream:
        yield frame, stream.frame_time, stream.frame_time + stream.frame_duration


def cut(frames: Iterable) -> Iterator[list]:
    """Cuts frames into lists of `STRETCH_FRAMES`.

    The last list has at least `LEAST_LAST_FRAMES` frames, unless the video has fewer.
    """
    held = []
    for frame in frames:
        held.append(frame)
        if len(held) == STRETCH_FRAMES + LEAST_LAST_FRAMES:
            yield held[:STRETCH_FRAMES]
            held = held[STRETCH_FRAMES:]
    if held:
        yield held


def mean_logits(stretches: Iterable[Stretch]) -> np.ndarray:
    """Returns the mean logits `[400]` of the stretches, weighted by number of frames."""
    stretches = list(stretches)
    weights = [stretch.end_frame - stretch.begin_frame for stretch in stretches]
    return np.average([stretch.logits for stretch in stretches], axis=0, weights=weights)


def top_classes(logits: np.ndarray) -> list[dict]:
    """Returns name and probability of the `TOP` most likely classes of `logits`, `[400]`."""
    exponentials = np.exp(np.float64(logits) - np.max(logits))
    probabilities = exponentials / exponentials.sum()
    best = np.argsort(-probabilities, kind="stable")[:TOP]
    return [
        {"name": published_weights.labels()[i], "probability": round(float(probabilities[i]), 6)}
        for i in best
    ]


def as_table(report: dict) -> str:
    """Returns the classes as lines of text: first the video, then its stretches."""
    begin, end = report["stretches"][0]["seconds"][0], report["stretches"][-1]["seconds"][1]
    rows = [("all", [begin, end], report["classes"])]
    rows += [
        ("{}-{}".format(*stretch["frames"]), stretch["seconds"], stretch["classes"])
        for stretch in report["stretches"]
    ]
    lines = [
        f"{report['video']}: {report['frames']} frames, {end - begin:.2f} s",
        f"I3D weights {report['i3d_weights']}: {report['known_as']}; SHA-256 {report['sha256']}",
        f"{'frames':>11}  {'seconds':>15}  most likely classes of Kinetics-400",
    ]
    for frames, (first, last), classes in rows:
        names = ", ".join(f"{c['name']} {c['probability']:.3f}" for c in classes)
        lines.append(f"{frames:>11}  {f'{first:.2f}-{last:.2f}':>15}  {names}")
    return "\n".join(lines)


if __name__ == "__main__":
    program.run(main, define_flags)
