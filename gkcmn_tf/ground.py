r"""Grounds sentences in a video: finds the segment and the boxes of the described object.

Examples:
    python -m gkcmn_tf.ground --preset=gkcmn_shapes --sample --query="the large blue cross turns"
    python -m gkcmn_tf.ground --preset=runs/demo --video=park.mp4 --begin=2.5 --end=10 \
        --query="the red square moving left" --query="the small disk"

Prints one line of JSON for each query: {"video", "query", "begin", "end" (frames, half-open),
"begin_seconds", "end_seconds", "score", "boxes": {"frame": [x1, y1, x2, y2] in pixels}, "clip":
[begin, end] (frames of the clip in which the tube was found)}. Frame numbers are those of the file,
even if the model was trained on resampled videos. Seconds are computed from time stamps and count
from the start of the file, as in players. With --threshold, a query without a tube is {"video",
"query", "absent": true, "score"}. --format selects other output formats for annotation tools and
players. A video and a strip of still images with the tube are written to --output_dir; of a video
longer than a minute, the part around the tube.
"""

import math
import os
import sys
from collections.abc import Mapping, Sequence

from absl import app, flags, logging

from gkcmn_tf import preset, program, sample_videos, tube_formats
from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.files import write_bytes
from gkcmn_tf.searched_clips import AUTO, SEARCHES
from gkcmn_tf.text.standardization import standardize
from gkcmn_tf.tubes import Tube
from gkcmn_tf.video import reading

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string(
        "preset",
        "gkcmn_shapes",
        "Trained model: name or folder of a preset, hf://owner/name, or folder of a run of "
        "gkcmn_tf.train.",
    )
    flags.DEFINE_string("video", None, "Video file.")
    flags.DEFINE_boolean("sample", False, "Use the first sample video of the package.")
    flags.DEFINE_multi_string(
        "query", [], "Sentence; repeat the flag for several. The video is encoded once."
    )
    flags.DEFINE_string("queries_file", None, "Text file of sentences, one per line.")
    flags.DEFINE_float("begin", None, "Begin of the searched clip, in seconds; default: 0.")
    flags.DEFINE_float(
        "end", None, "End of the searched clip, in seconds; default: the end of the video."
    )
    flags.DEFINE_enum(
        "search",
        AUTO,
        SEARCHES,
        "How to search: the part as one clip (whole), in overlapping clips as long as those of "
        "training (sliding), or sliding only if the part is much longer than these (auto).",
    )
    flags.DEFINE_integer("top_k", 1, "Number of tubes per sentence, best first.", lower_bound=1)
    flags.DEFINE_float(
        "threshold",
        None,
        'Minimum score; a sentence without a tube above the threshold is reported as "absent".',
        lower_bound=0,
        upper_bound=1,
    )
    flags.DEFINE_enum("format", "json", list(tube_formats.FORMATS), "Output format.")
    flags.DEFINE_string("output", None, "Output file; default: stdout.")
    flags.DEFINE_string("output_dir", "ground", "Folder for the drawn videos and still images.")
    flags.DEFINE_boolean("draw", True, "Draw each tube into a video and a strip of still images.")
    flags.DEFINE_string("cache_dir", None, "Cache folder for encoded videos.")
    flags.DEFINE_string(
        "i3d_weights", None, "Path of the I3D weights, if it differs from that in the preset."
    )


def main(argv):
    """Checks the arguments, encodes the video, grounds each sentence, prints and draws."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    video, sentences = check_arguments()
    # Imported after checking the arguments, since importing TensorFlow takes seconds.
    from gkcmn_tf.video_grounder import VideoGrounder  # noqa: PLC0415

    grounder = VideoGrounder.from_preset(FLAGS.preset, i3d_weights=FLAGS.i3d_weights)
    searched = {"begin": FLAGS.begin, "end": FLAGS.end, "search": FLAGS.search}
    encoded = grounder.encode(video, cache_dir=FLAGS.cache_dir, **searched)
    found = grounder.ground(encoded, sentences, top_k=FLAGS.top_k, **searched)
    answers = {
        sentence: with_absent(
            sentence, [tubes] if FLAGS.top_k == 1 else tubes, encoded, FLAGS.threshold
        )
        for sentence, tubes in zip(sentences, found, strict=True)
    }
    # Sentences may be repeated, and each gets its answer.
    listed = [answer for sentence in sentences for answer in answers[sentence]]
    text = tube_formats.format_answers(listed, FLAGS.format)
    # The terminal may have another encoding; a path may contain bytes that are not UTF-8.
    content = text.encode("utf-8", "surrogateescape")
    if FLAGS.output:
        write_bytes(FLAGS.output, content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    if FLAGS.draw:
        draw(answers)


def draw(answers: Mapping[str, Sequence[tube_formats.Answer]]) -> None:
    """Draws the tubes of each sentence into a copy of the video and a strip of still images."""
    # Imported here since Pillow is not required without drawing.
    from gkcmn_tf.visualization.output_names import output_name  # noqa: PLC0415
    from gkcmn_tf.visualization.overlays import draw_tubes, excerpt_around  # noqa: PLC0415

    for sentence, found in answers.items():
        tubes = [answer for answer in found if isinstance(answer, Tube)]
        if not tubes:
            continue
        video = tubes[0].video
        path = os.path.join(FLAGS.output_dir, output_name(video.path, sentence))
        excerpt = excerpt_around(tubes[0])
        draw_tubes(
            video.path,
            tubes,
            num_frames=video.timeline.frame_count,
            overlay_path=f"{path}.mp4",
            strip_path=f"{path}.png",
            query=sentence,
            excerpt=excerpt,
        )
        shown = "" if excerpt is None else f", frames {excerpt[0]} to {excerpt[1]}"
        logging.info("drawn: %s.mp4%s, and .png", path, shown)


def with_absent(
    sentence: str, tubes: list[Tube], video: EncodedVideo, threshold: float | None
) -> list[tube_formats.Answer]:
    """Returns the tubes with a score of at least `threshold`, or an `Absent` answer."""
    kept = [tube for tube in tubes if threshold is None or tube.score >= threshold]
    return kept or [tube_formats.Absent(sentence, tubes[0].score, video.source)]


def check_arguments() -> tuple[str, list[str]]:
    """Validates the flags; returns the path of the video and the sentences."""
    if (FLAGS.video is None) != FLAGS.sample:
        raise app.UsageError("expected one of --video and --sample")
    video = sample_videos.samples()[0].video if FLAGS.sample else FLAGS.video
    if not os.path.isfile(video):
        raise FileNotFoundError(f"--video={video}: no such file")
    reading.probe(video)
    if not FLAGS.preset.startswith(preset.HUB_PREFIX):
        preset.find(FLAGS.preset)
    sentences = [*FLAGS.query, *read_sentences(FLAGS.queries_file)]
    if not sentences:
        raise app.UsageError("expected a sentence: --query or --queries_file")
    for sentence in sentences:
        if not standardize(sentence):
            raise app.UsageError(f"sentence {sentence!r}: contains no word; describe an object")
        if sentence.encode("utf-8", "ignore").decode() != sentence:
            raise app.UsageError(f"sentence {sentence!r}: expected text in UTF-8")
    if FLAGS.format == "hcstvg" and (len(sentences) > 1 or FLAGS.top_k > 1):
        raise app.UsageError(
            "--format=hcstvg has one tube per video: expected one sentence and --top_k=1"
        )
    if FLAGS.threshold is not None and math.isnan(FLAGS.threshold):
        raise app.UsageError(f"--threshold={FLAGS.threshold}: expected a number from 0 to 1")
    begin, end = FLAGS.begin, FLAGS.end
    if begin is not None and not 0 <= begin < math.inf:
        raise app.UsageError(f"--begin={begin:g}: expected seconds, at least 0")
    if end is not None and not (begin or 0) < end < math.inf:
        raise app.UsageError(f"--begin={begin or 0:g} --end={end:g}: expected begin < end")
    check_outputs(video)
    return video, sentences


def read_sentences(path: str | None) -> list[str]:
    """Reads a text file of sentences, one per line; without a path there are none."""
    if not path:
        return []
    try:
        with open(path, encoding="utf-8-sig") as file:
            sentences = [line.strip() for line in file if line.strip()]
    except UnicodeDecodeError as error:
        raise app.UsageError(f"--queries_file={path}: expected text in UTF-8: {error}") from error
    if not sentences:
        raise app.UsageError(f"--queries_file={path}: holds no sentence; expected one per line")
    return sentences


def check_outputs(video: str) -> None:
    """Checks before the computation that results can be written, and replace no input."""
    if FLAGS.output:
        if os.path.isdir(FLAGS.output):
            raise app.UsageError(f"--output={FLAGS.output}: is a folder; expected a file")
        for path in filter(None, (video, FLAGS.queries_file)):
            if os.path.realpath(FLAGS.output) == os.path.realpath(path):
                raise app.UsageError(f"--output={FLAGS.output}: is an input; expected another file")
        _make_folder("output", os.path.dirname(FLAGS.output) or ".")
    if FLAGS.cache_dir:
        _make_folder("cache_dir", FLAGS.cache_dir)
    if FLAGS.draw:
        _make_folder("output_dir", FLAGS.output_dir)


def _make_folder(flag, folder):
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise app.UsageError(
            f"--{flag}: the folder {folder} cannot be made: {error.strerror}"
        ) from error
    if not os.access(folder, os.W_OK):
        raise app.UsageError(f"--{flag}: the folder {folder} is not writable")


if __name__ == "__main__":
    program.run(main, define_flags)
