r"""Grounds sentences in a video: finds the segment and the boxes of the described object.

Examples:
    python -m gkcmn_tf.ground --preset=gkcmn_shapes --sample --query="the large blue cross turns"
    python -m gkcmn_tf.ground --preset=runs/demo --video=park.mp4 --begin=2.5 --end=10 \
        --query="the red square moving left" --query="the small disk"

Prints one line of JSON for each query: {"video", "query", "begin", "end" (frames, half-open),
"begin_seconds", "end_seconds", "score", "boxes": {"frame": [x1, y1, x2, y2] in pixels}}. Frame
numbers are those of the file, even if the model was trained on resampled videos. Seconds are
computed from time stamps and count from the start of the file, as in players. With --threshold, a
query without a tube is {"video", "query", "absent": true, "score"}. --format selects other output
formats for annotation tools and players. A video and a strip of still images with the tube are
written to --output_dir.
"""

import collections
import os
import sys
from collections.abc import Sequence

from absl import app, flags, logging

from gkcmn_tf import program, sample_videos, tube_formats
from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.files import write_text
from gkcmn_tf.text.standardization import standardize
from gkcmn_tf.tubes import Tube

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
    encoded = grounder.encode(video, cache_dir=FLAGS.cache_dir)
    found = grounder.ground(encoded, sentences, begin=FLAGS.begin, end=FLAGS.end, top_k=FLAGS.top_k)
    answers = [
        answer
        for sentence, tubes in zip(sentences, found, strict=True)
        for answer in with_absent(
            sentence, [tubes] if FLAGS.top_k == 1 else tubes, encoded, FLAGS.threshold
        )
    ]
    text = tube_formats.format_answers(answers, FLAGS.format)
    if FLAGS.output:
        write_text(FLAGS.output, text)
    else:
        # Sentences and paths may contain characters outside the encoding of the terminal.
        sys.stdout.reconfigure(encoding="utf-8")
        sys.stdout.write(text)
        sys.stdout.flush()
    if FLAGS.draw:
        draw(answers)


def draw(answers: Sequence[tube_formats.Answer]) -> None:
    """Draws the tubes of each sentence into a copy of the video and a strip of still images."""
    # Imported here since Pillow is not required without drawing.
    from gkcmn_tf.visualization.output_names import output_name  # noqa: PLC0415
    from gkcmn_tf.visualization.overlays import draw_tubes  # noqa: PLC0415

    by_sentence = collections.defaultdict(list)
    for answer in answers:
        if isinstance(answer, Tube):
            by_sentence[answer.sentence].append(answer)
    for sentence, tubes in by_sentence.items():
        video = tubes[0].video
        path = os.path.join(FLAGS.output_dir, output_name(video.path, sentence))
        draw_tubes(
            video.path,
            tubes,
            num_frames=video.timeline.frame_count,
            overlay_path=f"{path}.mp4",
            strip_path=f"{path}.png",
            query=sentence,
        )
        logging.info("drawn: %s.mp4 and .png", path)


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
    sentences = list(FLAGS.query)
    if FLAGS.queries_file:
        with open(FLAGS.queries_file, encoding="utf-8-sig") as file:
            sentences += [line.strip() for line in file if line.strip()]
    if not sentences:
        raise app.UsageError("expected a sentence: --query or --queries_file")
    for sentence in sentences:
        if not standardize(sentence):
            raise app.UsageError(f"sentence {sentence!r}: holds no word; describe an object")
    if FLAGS.format == "hcstvg" and (len(sentences) > 1 or FLAGS.top_k > 1):
        raise app.UsageError(
            "--format=hcstvg has one tube per video: expected one sentence and --top_k=1"
        )
    if FLAGS.draw:
        # Check before the computation whether the folder is writable.
        os.makedirs(FLAGS.output_dir, exist_ok=True)
        if not os.access(FLAGS.output_dir, os.W_OK):
            raise PermissionError(f"--output_dir={FLAGS.output_dir}: not writable")
    begin, end = FLAGS.begin, FLAGS.end
    if begin is not None and begin < 0:
        raise app.UsageError(f"--begin={begin:g}: expected seconds, at least 0")
    if end is not None and end <= (begin or 0):
        raise app.UsageError(f"--begin={begin or 0:g} --end={end:g}: expected begin < end")
    return video, sentences


if __name__ == "__main__":
    program.run(main, define_flags)
