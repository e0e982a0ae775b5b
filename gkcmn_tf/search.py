r"""Finds the moments that sentences describe in all videos of an index.

Examples:
    python -m gkcmn_tf.search "a red triangle is shrinking" --folder=videos
    python -m gkcmn_tf.search "a red triangle" "the large blue cross turns" --folder=videos \
        --top_k=10 --json

The videos are those that `gkcmn index` encoded with the same preset. Prints a table for each
sentence, best first: score, begin and end in seconds and in frames (half-open), and video. With
--json, prints the lines of `gkcmn ground`, one per moment, which `gkcmn cut` writes as videos.
"""

import os
import sys
import time
from collections.abc import Sequence

from absl import app, flags, logging

from gkcmn_tf import preset, program, tube_formats
from gkcmn_tf.indexing.video_index import VideoIndex
from gkcmn_tf.text.standardization import standardize
from gkcmn_tf.tubes import Tube

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    define_search_flags()
    flags.DEFINE_boolean("json", False, "Print JSON Lines, with boxes, instead of tables.")


def define_search_flags() -> None:
    """Defines the flags of a search."""
    flags.DEFINE_string(
        "preset",
        "gkcmn_shapes",
        "Trained model that the index was made with: name or folder of a preset, hf://owner/name, "
        "or folder of a run of gkcmn_tf.train.",
    )
    flags.DEFINE_string("folder", ".", "Folder of videos with an index.")
    flags.DEFINE_string("index_dir", None, "Folder of the index; default: .gkcmn in --folder.")
    flags.DEFINE_integer("top_k", 5, "Number of moments per sentence.", lower_bound=1)


def main(argv):
    """Searches and prints."""
    sentences = argv[1:]
    if not sentences:
        raise app.UsageError('expected a sentence, such as "a red triangle is shrinking"')
    logging.set_verbosity(logging.INFO)
    found = search(sentences)
    if FLAGS.json:
        listed = [tube for tubes in found for tube in tubes]
        text = tube_formats.format_answers(listed, "json")
    else:
        tables = [table(*answer) for answer in zip(sentences, found, strict=True)]
        text = "\n".join(tables)
    # The terminal may have another encoding; a path may contain bytes that are not UTF-8.
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()


def search(sentences: Sequence[str]) -> list[list[Tube]]:
    """Searches the index that the flags name, and warns of videos that have changed since.

    Raises:
        app.UsageError: a sentence contains no word.
        FileNotFoundError: there is no index or no preset.
        ValueError: the index is empty, damaged or of another preset.
    """
    for sentence in sentences:
        if not standardize(sentence):
            raise app.UsageError(f"sentence {sentence!r}: contains no word; describe an object")
    if not FLAGS.preset.startswith(preset.HUB_PREFIX):
        preset.find(FLAGS.preset)
    index = VideoIndex.load(FLAGS.index_dir or FLAGS.folder)
    if FLAGS["folder"].present and os.path.realpath(index.folder) != os.path.realpath(FLAGS.folder):
        raise ValueError(
            f"{index.index_dir}: is the index of {index.folder}, not of --folder={FLAGS.folder}; "
            "leave out one of the two flags"
        )
    if not index.videos:
        raise ValueError(f"{index.index_dir}: contains no videos; run gkcmn index {index.folder}")
    if not index.is_complete:
        logging.warning(
            "%s: is not complete; run gkcmn index %s again", index.index_dir, index.folder
        )
    # Imported after checking the arguments, since importing TensorFlow takes seconds.
    from gkcmn_tf.video_grounder import VideoGrounder  # noqa: PLC0415

    grounder = VideoGrounder.from_preset(FLAGS.preset)
    start = time.monotonic()
    found = grounder.search(index, sentences, top_k=FLAGS.top_k)
    logging.info(
        "searched %d clips of %d videos in %.1f s",
        index.num_clips,
        len(index.videos),
        time.monotonic() - start,
    )
    paths = {tube.video.path for tubes in found for tube in tubes}
    for video in index.videos:
        if index.path(video) in paths and not index.is_current(video):
            logging.warning(
                "%s: has changed since it was indexed; run gkcmn index %s again",
                index.path(video),
                index.folder,
            )
    return found


def table(sentence: str, tubes: Sequence[Tube]) -> str:
    """Formats the moments of a sentence as a table."""
    rows = [("score", "seconds", "frames", "video")]
    for tube in tubes:
        seconds = f"{tube.begin_seconds:.2f} to {tube.end_seconds:.2f}"
        frames = f"[{tube.begin}, {tube.end})"
        rows.append((f"{tube.score:.3f}", seconds, frames, tube.video.path))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False))
        + f"  {row[-1]}"
        for row in rows
    ]
    return "".join(f"{line}\n" for line in [sentence, *lines])


if __name__ == "__main__":
    program.run(main, define_flags)
