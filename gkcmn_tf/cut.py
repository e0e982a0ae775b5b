r"""Writes moments that were found in videos as video files of their own.

Examples:
    python -m gkcmn_tf.cut "a red triangle is shrinking" --folder=videos --top_k=3 --boxes
    python -m gkcmn_tf.cut --tubes=found.jsonl --output_dir=moments

Searches an index as `gkcmn search`, or reads what `gkcmn search --json` or `gkcmn ground` printed
(--tubes=- reads it from the standard input). Each moment becomes an MP4 of its frames with their
times and the sound, and --boxes draws the boxes. Its name has those of the video and of the
sentence, and the frames; a moment that is cut again replaces only its own file. Prints the paths.
"""

import json
import os
import sys

import numpy as np
from absl import app, flags, logging

from gkcmn_tf import json_fields, program, search
from gkcmn_tf.tubes import Tube

FLAGS = flags.FLAGS
STDIN = "-"


def define_flags() -> None:
    """Defines the program's flags."""
    search.define_search_flags()
    flags.DEFINE_string(
        "tubes", None, "JSON Lines of gkcmn search or gkcmn ground; - for the standard input."
    )
    flags.DEFINE_string("output_dir", "cut", "Folder for the videos.")
    flags.DEFINE_boolean("boxes", False, "Draw the boxes.")


def main(argv):
    """Finds or reads the moments and writes them."""
    sentences = argv[1:]
    if bool(sentences) == (FLAGS.tubes is not None):
        raise app.UsageError("expected sentences or --tubes")
    logging.set_verbosity(logging.INFO)
    if sentences:
        found = search.search(sentences)
        moments = [(tube.video.path, tube) for tubes in found for tube in tubes]
    else:
        moments = read_moments(FLAGS.tubes)
    # Imported here since Pillow and FFmpeg are not required to check the arguments.
    from gkcmn_tf.visualization.moments import moment_name, write_moment  # noqa: PLC0415

    for video, _ in moments:
        if not os.path.isfile(video):
            raise FileNotFoundError(f"{video}: no such file; run gkcmn index again")
    for video, tube in moments:
        path = os.path.join(FLAGS.output_dir, moment_name(video, tube, boxes=FLAGS.boxes))
        write_moment(path, video, tube, boxes=FLAGS.boxes)
        print(path, flush=True)


def read_moments(path: str) -> list[tuple[str, Tube]]:
    """Reads videos and tubes from JSON Lines; lines of absent sentences are left out.

    Args:
        path: path of the file; `-` for the standard input.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a line is damaged; the message names it.
    """
    name = "stdin" if path == STDIN else path
    if path == STDIN:
        content = sys.stdin.buffer.read()
    elif not os.path.exists(path):
        raise FileNotFoundError(f"--tubes={path}: no such file")
    else:
        with open(path, "rb") as file:
            content = file.read()
    moments = []
    for number, line in enumerate(content.splitlines(), 1):
        with json_fields.errors_in(f"{name}, line {number}"):
            if line.strip():
                fields = json.loads(line, object_pairs_hook=json_fields.JsonObject)
                moments += [] if json_fields.get(fields, "absent") else [_moment(fields)]
    return moments


def _moment(fields):
    """Video and tube of a line."""
    video = json_fields.get(fields, "video")
    if not isinstance(video, str) or not video:  # may contain bytes that are not UTF-8
        raise ValueError(f"video: expected a path, got {video!r}")
    begin = json_fields.integer(fields, "begin")
    end = json_fields.integer(fields, "end", at_least=begin + 1)
    boxes = np.full((end - begin, 4), np.nan)
    for frame, box in json_fields.json_object(fields, "boxes").items():
        if not frame.isdecimal() or not begin <= int(frame) < end:
            raise ValueError(f"boxes: expected frames from {begin} to {end - 1}, got {frame!r}")
        if not json_fields.is_box(box):
            raise ValueError(f"boxes: {frame}: expected [x1, y1, x2, y2], got {box!r}")
        boxes[int(frame) - begin] = box
    return video, Tube(
        *(begin, end, boxes),
        score=json_fields.number(fields, "score"),
        sentence=json_fields.get(fields, "query") or "",
    )


if __name__ == "__main__":
    program.run(main, define_flags)
