r"""Evaluates a trivial baseline on VidSTG annotations: the whole clip as every prediction.

Example:
    python -m data.trivial_guess --dataset=vidstg --annotation_dir=VIDSTG --split=val,test

The annotation files contain segments but no boxes, so the only metric is m_tIoU. It is reported
for all, declarative and interrogative sentences, with 95 % confidence intervals. Neither videos
nor VidOR annotations are needed. For records written by data.prepare,
`gkcmn_tf.evaluate --trivial_guess` evaluates boxes as well.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import app, flags, logging

from gkcmn_tf import program
from gkcmn_tf.evaluation.bootstrap import CONFIDENCE_LEVEL, DEFAULT_SAMPLES, bootstrap_intervals
from gkcmn_tf.evaluation.metrics import temporal_iou
from gkcmn_tf.evaluation.metrics_table import format_table
from gkcmn_tf.tubes import QTYPES

from . import vidstg
from .annotations import SPLITS, TrueSegment

FLAGS = flags.FLAGS
METRIC = "m_tIoU"
# In the other data sets clips end with the video, whose length is not in the annotation files.
READERS = {"vidstg": vidstg}


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_enum("dataset", None, list(READERS), "Format of the data set.", required=True)
    flags.DEFINE_string(
        "annotation_dir", None, "Folder with SPLIT_annotations.json (vidstg).", required=True
    )
    flags.DEFINE_list("split", ["test"], f"Splits to evaluate: any of {', '.join(SPLITS)}.")
    flags.DEFINE_integer(
        "bootstrap_samples",
        DEFAULT_SAMPLES,
        "Number of bootstrap samples for the confidence intervals; 0 for no intervals.",
        lower_bound=0,
    )


def main(argv):
    """Prints a table for each split."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    for split in FLAGS.split:
        segments, skipped = READERS[FLAGS.dataset].read_segments(split, FLAGS.annotation_dir)
        for sentence in skipped:
            logging.warning("%s is skipped: %s", sentence.id, sentence.reason)
        if not segments:
            raise ValueError(f"{FLAGS.annotation_dir}: split {split!r} has no sentences")
        scores = score_whole_clips(segments, bootstrap_samples=FLAGS.bootstrap_samples)
        print(format_scores(split, segments, scores))


def score_whole_clips(
    segments: Sequence[TrueSegment], *, bootstrap_samples: int = 0
) -> dict[str, dict[str, Any]]:
    """Computes the m_tIoU, in `[0, 1]`, of predicting the whole clip for every sentence.

    Args:
        segments: ground-truth segments of the sentences.
        bootstrap_samples: number of bootstrap samples for confidence intervals; 0 for none.

    Returns:
        `sentences`, `m_tIoU` and `interval` for `all` and for each type of `tubes.QTYPES` that
        occurs. `interval` is `[low, high]`, or None without bootstrap samples or with fewer than
        two videos.
    """
    tious = np.array([temporal_iou(s.clip, (s.begin, s.end)) for s in segments])
    videos = np.array([s.video_id for s in segments])
    qtypes = np.array([s.qtype for s in segments])
    groups = {"all": qtypes != ""} | {qtype: qtypes == qtype for qtype in QTYPES}
    scores = {}
    for title, rows in groups.items():
        if not rows.any():
            continue
        interval = None
        if bootstrap_samples:
            interval = bootstrap_intervals(tious[rows, None], videos[rows], bootstrap_samples)
        scores[title] = {
            "sentences": int(rows.sum()),
            METRIC: float(tious[rows].mean()),
            "interval": None if interval is None else interval[0].tolist(),
        }
    return scores


def format_scores(
    split: str, segments: Sequence[TrueSegment], scores: Mapping[str, Mapping[str, Any]]
) -> str:
    """Formats the result of `score_whole_clips` as a table with a heading."""
    noted = ""
    if any(row["interval"] for row in scores.values()):
        noted = f", {CONFIDENCE_LEVEL:.0%} bootstrap intervals over videos in brackets"
    rows = {f"{title} (n={row['sentences']})": row for title, row in scores.items()}
    intervals = {
        title: {METRIC: row["interval"]} if row["interval"] else None for title, row in rows.items()
    }
    table = format_table(rows, columns=[METRIC], intervals=intervals)
    videos = len({segment.video_id for segment in segments})
    return f"Whole clip as prediction, split {split}, {videos} videos{noted}:\n{table}"


if __name__ == "__main__":
    program.run(main, define_flags)
