r"""Shows what a records folder holds: its numbers, their histograms, and the tube of a sentence.

Example:
    python -m data.inspect runs/demo/records
    python -m data.inspect runs/demo/records --sentence=test-00000-d0 \
        --video_dir=runs/demo/shapes/videos

The one argument is a folder made by data.prepare. Without --sentence, prints the statistics and
draws histograms.png; with it, prints the sentence as a line of JSON and draws its true tube into a
copy of its video and a strip of stills. Pictures go to --output_dir.
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
MOST_WORDS = 60  # that get a bin each
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # told apart by colour-blind people too

# Rows of the table and panels of the picture: title, measure, factor.
ROWS = (
    ("clip, frames", "clip_frames", 1),
    ("clip, seconds", "clip_seconds", 1),
    ("clip, steps", "clip_steps", 1),
    ("true segment, frames", "segment_frames", 1),
    ("true segment, seconds", "segment_seconds", 1),
    ("true segment, % of its clip", "segment_share_of_clip", 100),
    ("middle of true segment, % of its clip", "segment_middle_in_clip", 100),
    ("box, % of the frame", "box_share_of_frame", 100),
    ("words a sentence", "words", 1),
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
    flags.DEFINE_string("output_dir", None, "Where pictures go; default: FOLDER/inspect.")
    flags.DEFINE_boolean("json", False, "Print the statistics as JSON.")
    flags.DEFINE_string("sentence", None, "Draw the tube of the sentence of this id.")
    flags.DEFINE_string("video_dir", None, "Folder below which the sentence's video is.")


def main(argv):
    """Prints and draws the statistics, or one sentence."""
    if len(argv) != 2:
        raise app.UsageError(f"expected one folder made by data.prepare, got {argv[1:]}")
    if (FLAGS.sentence is None) != (FLAGS.video_dir is None):
        raise app.UsageError("--sentence and --video_dir go together")
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
    logging.info("drawn: %s", path)


def format_statistics(statistics: dict) -> str:
    """What `records_statistics.summarise` found, as Markdown."""
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
        "Three numbers are the least, the median and the greatest.",
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
    """A list of the counts that are not zero; nothing if there are none."""
    found = [(name, count) for name, count in counts.items() if count]
    lines = [f"- {count:,}: {name}" for name, count in found[:SHOWN_REASONS]]
    if len(found) > SHOWN_REASONS:
        lines.append(f"- and {len(found) - SHOWN_REASONS} other kinds; see {clip_records.MANIFEST}")
    return ["", f"{title}:", *lines] if lines else []


def draw_histograms(path: str, measured: dict[str, SplitMeasures], *, title: str) -> None:
    """Writes one PNG with a panel for each measure and a line for each split.

    Args:
        path: of the picture, whole or not at all.
        measured: by split.
        title: above the panels.
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
    """A sentence and its clip.

    Raises:
        FileNotFoundError: a split's clips are not there.
        ValueError: there is no such sentence, or it was skipped; the message shows some ids, or the
            reason.
    """
    examples = []
    for split, counts in manifest["splits"].items():
        for skipped in counts["skipped"]:
            if skipped["id"] == sentence_id:
                raise ValueError(f"{sentence_id}: was skipped by data.prepare: {skipped['reason']}")
        for number, clip in enumerate(clip_records.read_clips(folder, split)):
            if number == 0:
                examples.append(clip.sentences[0].id)
            for sentence in clip.sentences:
                if sentence.id == sentence_id:
                    return clip, sentence
    raise ValueError(
        f"{folder}: has no sentence {sentence_id!r}; ids look like {', '.join(examples)}"
    )


def find_video(video_dir: str, video_id: str) -> str:
    """The one file below `video_dir` whose path ends in the id, with or without a suffix.

    Raises:
        FileNotFoundError: there is none.
        ValueError: there are several.
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
        raise FileNotFoundError(f"{video_dir}: no file {video_id}.* there or below (--video_dir)")
    if len(found) > 1:
        raise ValueError(
            f"{video_dir}: several files of video {video_id}: {', '.join(found)}; give a narrower "
            "--video_dir"
        )
    return found[0]


def describe(clip: Clip, sentence: Sentence) -> dict:
    """A sentence as JSON, without its boxes; segments are half-open, in frames."""
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
    """Writes ID.png, a strip of stills, and ID.mp4, the video with the true tube drawn in.

    Args:
        video_path: of the clip's video.
        clip: that holds the sentence.
        sentence: whose tube is drawn.
        output_dir: where the pictures go.
        fps: frames a second to which the records were resampled; None if they were not.

    Raises:
        ValueError: the video has fewer frames than the record says.
    """
    info = reading.probe(video_path)
    # Boxes are in pixels of the size that was annotated, which may not be the file's.
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
    logging.info("drawn: %s.png and .mp4", path)


if __name__ == "__main__":
    program.run(main, define_flags)
