r"""Prints and plots statistics of a records folder, or draws the tube of one sentence.

Example:
    python -m data.inspect runs/demo/records
    python -m data.inspect runs/demo/records --sentence=test-00000-d0 \
        --video_dir=runs/demo/shapes/videos

The argument is a folder written by data.prepare. Without --sentence, the program prints statistics
and writes histograms.png. With --sentence, it prints the sentence as a line of JSON, and draws the
ground-truth tube into a copy of the video and a strip of frames. Images go to --output_dir.
"""

import itertools
import json
import os
import pathlib
import urllib.parse

import numpy as np
from absl import app, flags, logging
from matplotlib.figure import Figure

from gkcmn_tf import program, tubes
from gkcmn_tf.files import whole_file
from gkcmn_tf.records import clip_records
from gkcmn_tf.records.clip_records import Clip, Sentence
from gkcmn_tf.video import reading
from gkcmn_tf.visualization import overlays

from . import mirroring, records_statistics
from .records_statistics import SplitMeasures

FLAGS = flags.FLAGS
SHOWN_REASONS = 20
BINS = 16
MOST_WORDS = 60  # up to this maximum, the word histogram has one bin per count
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # safe for colour-blind readers

# Rows of the table and panels of the plot: title, measure, factor.
ROWS = (
    ("clip, frames", "clip_frames", 1),
    ("clip, seconds", "clip_seconds", 1),
    ("clip, steps", "clip_steps", 1),
    ("true segment, frames", "segment_frames", 1),
    ("true segment, seconds", "segment_seconds", 1),
    ("true segment, % of its clip", "segment_share_of_clip", 100),
    ("middle of true segment, % of its clip", "segment_middle_in_clip", 100),
    ("box, % of the frame", "box_share_of_frame", 100),
    ("words per sentence", "words", 1),
)
PANELS = (
    "clip_seconds",
    "segment_seconds",
    "segment_share_of_clip",
    "segment_middle_in_clip",
    "box_share_of_frame",
    "words",
)


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("output_dir", None, "Folder for images; default: FOLDER/inspect.")
    flags.DEFINE_boolean("json", False, "Print the statistics as JSON.")
    flags.DEFINE_string("sentence", None, "Id of a sentence whose tube is drawn.")
    flags.DEFINE_string(
        "video_dir", None, "Folder searched recursively for the video of --sentence."
    )


def main(argv):
    """Prints and plots the statistics, or one sentence."""
    if len(argv) != 2:
        raise app.UsageError(f"expected one folder written by data.prepare, got {argv[1:]}")
    if (FLAGS.sentence is None) != (FLAGS.video_dir is None):
        raise app.UsageError("--sentence and --video_dir must be given together")
    logging.set_verbosity(logging.INFO)
    folder = argv[1]
    output_dir = FLAGS.output_dir or os.path.join(folder, "inspect")
    manifest = records_statistics.read_manifest(folder)
    if FLAGS.sentence is not None:
        clip, sentence = find_sentence(folder, manifest, FLAGS.sentence)
        video_path = find_video(FLAGS.video_dir, mirroring.original_id(clip.video_id))
        print(json.dumps(describe(clip, sentence)))
        draw_sentence(video_path, clip, sentence, output_dir, manifest["features"].get("fps"))
        return
    measured = records_statistics.measure(folder, manifest)
    statistics = records_statistics.summarise(folder, manifest, measured)
    print(json.dumps(statistics) if FLAGS.json else format_statistics(statistics))
    path = os.path.join(output_dir, "histograms.png")
    draw_histograms(path, measured, title=f"{statistics['dataset']}, {folder}")
    logging.info("wrote %s", path)


def format_statistics(statistics: dict) -> str:
    """Formats the result of `records_statistics.summarise` as Markdown."""
    features = ", ".join(f"{name} {value}" for name, value in statistics["features"].items())
    sizes = ", ".join(f"{part} {_megabytes(size)}" for part, size in statistics["bytes"].items())
    splits = statistics["splits"]
    rows = [
        (name, [f"{split[name]:,}" for split in splits.values()])
        for name in ("videos", "clips", "vocabulary")
    ]
    counts = {name: None for split in splits.values() for name in split["sentences"]}
    rows += [
        (f"sentences, {name}", [f"{split['sentences'][name]:,}" for split in splits.values()])
        for name in counts
    ]
    rows += [
        (title, [_format_spread(split[name], factor) for split in splits.values()])
        for title, name, factor in ROWS
    ]
    table = [
        ["", *splits],
        ["---"] * (len(splits) + 1),
        *([title, *cells] for title, cells in rows),
    ]
    lines = [
        f"Records of {statistics['dataset']} in {statistics['folder']}",
        f"Features: {features}",
        f"On disk: {sizes}",
        f"Vocabulary of all splits: {statistics['vocabulary']:,} words",
        "",
        *(f"| {' | '.join(cells)} |" for cells in table),
        "",
        "Three numbers are minimum, median and maximum.",
    ]
    for split, found in splits.items():
        lines += _format_counts(f"{split}, sentences skipped", found["skipped"])
        lines += _format_counts(f"{split}, notices", found["notices"])
    return "\n".join(lines)


def _megabytes(size):
    return f"{size / 1e6:,.1f} MB"


def _format_spread(spread, factor):
    if spread is None:
        return "-"
    values = (factor * spread[name] for name in ("min", "median", "max"))
    return " / ".join(f"{value:,.1f}".removesuffix(".0") for value in values)


def _format_counts(title, counts):
    """Formats the non-zero counts as a list; no lines if there are none."""
    found = [(name, count) for name, count in counts.items() if count]
    lines = [f"- {count:,}: {name}" for name, count in found[:SHOWN_REASONS]]
    if len(found) > SHOWN_REASONS:
        lines.append(f"- and {len(found) - SHOWN_REASONS} other kinds; see {clip_records.MANIFEST}")
    return ["", f"{title}:", *lines] if lines else []


def draw_histograms(path: str, measured: dict[str, SplitMeasures], *, title: str) -> None:
    """Writes a PNG with a panel per measure and a line per split.

    Args:
        path: output file, written atomically.
        measured: measures by split.
        title: title of the figure.
    """
    figure = Figure(figsize=(13, 7), layout="constrained")
    figure.suptitle(title)
    rows = {name: (label, factor) for label, name, factor in ROWS}
    for axes, name in zip(figure.subplots(2, 3).flat, PANELS, strict=True):
        label, factor = rows[name]
        values = [factor * found.values[name] for found in measured.values()]
        together = np.concatenate(values)
        whole = name == "words" and together.size and together.max() <= MOST_WORDS
        edges = (
            np.arange(together.max() + 2) - 0.5
            if whole
            else np.histogram_bin_edges(together, bins=BINS)
        )
        for split, of_split, color in zip(measured, values, itertools.cycle(COLORS), strict=False):
            weights = np.full(of_split.size, 100 / max(of_split.size, 1))
            axes.hist(of_split, edges, weights=weights, histtype="step", color=color, label=split)
        axes.set(xlabel=label, ylabel="% of clips" if name.startswith("clip") else "% of sentences")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def find_sentence(folder: str, manifest: dict, sentence_id: str) -> tuple[Clip, Sentence]:
    """Finds a sentence and its clip.

    Raises:
        FileNotFoundError: the clips of a split are missing.
        ValueError: the sentence does not exist (the message shows example ids) or was skipped (the
            message shows the reason).
    """
    examples = []
    for split, counts in manifest["splits"].items():
        for skipped in counts["skipped"]:
            if skipped["id"] == sentence_id:
                raise ValueError(f"{sentence_id}: skipped by data.prepare: {skipped['reason']}")
        for number, clip in enumerate(clip_records.read_clips(folder, split)):
            if number == 0:
                examples.append(clip.sentences[0].id)
            for sentence in clip.sentences:
                if sentence.id == sentence_id:
                    return clip, sentence
    raise ValueError(f"{folder}: no sentence {sentence_id!r}; example ids: {', '.join(examples)}")


def find_video(video_dir: str, video_id: str) -> str:
    """Finds the only file below `video_dir` whose path, with or without suffix, ends in the id.

    Raises:
        FileNotFoundError: no file matches.
        ValueError: several files match.
    """
    wanted = f"/{video_id}"
    found = [
        str(path)
        for path in sorted(pathlib.Path(video_dir).rglob("*"))
        if f"/{path.as_posix()}".endswith(wanted)
        or f"/{path.with_suffix('').as_posix()}".endswith(wanted)
        if path.is_file()
    ]
    if not found:
        raise FileNotFoundError(f"{video_dir}: no file {video_id}.* in or below it (--video_dir)")
    if len(found) > 1:
        raise ValueError(
            f"{video_dir}: several files for video {video_id}: {', '.join(found)}; give a more "
            "specific --video_dir"
        )
    return found[0]


def describe(clip: Clip, sentence: Sentence) -> dict:
    """Returns a sentence as JSON, without boxes; segments are half-open, in frames."""
    return {
        "id": sentence.id,
        "text": sentence.text,
        "qtype": sentence.qtype,
        "target_id": sentence.target_id,
        "video_id": clip.video_id,
        "clip": [clip.begin, clip.end],
        "segment": [sentence.begin, sentence.end],
        "seconds": [round(sentence.begin / clip.fps, 2), round(sentence.end / clip.fps, 2)],
    }


def draw_sentence(
    video_path: str, clip: Clip, sentence: Sentence, output_dir: str, fps: float | None = None
) -> None:
    """Writes ID.png, a strip of frames, and ID.mp4, the video with the ground-truth tube.

    Args:
        video_path: file of the clip's video.
        clip: clip of the sentence.
        sentence: sentence whose tube is drawn.
        output_dir: output folder.
        fps: frame rate of resampled records, in frames per second; None without resampling.

    Raises:
        ValueError: the video has fewer frames than the record, or the sentence is absent.
    """
    if sentence.is_absent:
        raise ValueError(f"{sentence.id}: the sentence describes nothing in its clip; no tube")
    info = reading.probe(video_path)
    # Boxes are in pixels of the annotated frame size, which may differ from the file's.
    scale = np.tile([info.width / clip.width, info.height / clip.height], 2)
    tube = tubes.Tube(sentence.begin, sentence.end, sentence.boxes * scale)
    path = os.path.join(output_dir, urllib.parse.quote(sentence.id, safe=""))
    overlays.draw_tubes(
        video_path,
        [],
        num_frames=clip.frame_count,
        overlay_path=f"{path}.mp4",
        strip_path=f"{path}.png",
        query=sentence.text,
        true_tube=tube,
        fps=fps,
        mirrored=mirroring.is_mirrored(clip.video_id),
    )
    logging.info("wrote %s.png and %s.mp4", path, path)


if __name__ == "__main__":
    program.run(main, define_flags)
