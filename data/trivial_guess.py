r"""Scores the whole clip as the answer to every sentence of VidSTG's annotation files.

Example:
    python -m data.trivial_guess --dataset=vidstg --annotation_dir=VIDSTG --split=val,test

These files say when a sentence happens but have no boxes, so the one metric is m_tIoU: what an
answer that neither sees the video nor reads the sentence gets, over all, declarative and
interrogative sentences, with 95 % confidence intervals. It needs neither videos nor VidOR. For data
sets that data.prepare has read, `gkcmn_tf.evaluate --trivial_guess` scores boxes as well.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import app, flags, logging

from gkcmn_tf import program
from gkcmn_tf.evaluation.bootstrap import CONFIDENCE_LEVEL, bootstrap_intervals
from gkcmn_tf.evaluation.metrics import temporal_iou
from gkcmn_tf.evaluation.metrics_table import format_table
from gkcmn_tf.tubes import QTYPES

from . import vidstg
from .annotations import SPLITS, TrueSegment

FLAGS = flags.FLAGS
METRIC = "m_tIoU"
# The other data sets' clips end with their videos, which their annotation files do not tell.
READERS = {"vidstg": vidstg}


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_enum("dataset", None, list(READERS), "Layout of the data set.", required=True)
    flags.DEFINE_string(
        "annotation_dir", None, "Folder of SPLIT_annotations.json (vidstg).", required=True
    )
    flags.DEFINE_list("split", ["test"], f"Splits to score: of {', '.join(SPLITS)}.")
    flags.DEFINE_integer(
        "bootstrap_samples",
        1000,
        "How often videos are drawn anew for the confidence intervals; 0 leaves these out.",
        lower_bound=0,
    )


def main(argv):
    """Prints a table a split."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    for split in FLAGS.split:
        segments, skipped = READERS[FLAGS.dataset].read_segments(split, FLAGS.annotation_dir)
        for sentence in skipped:
            logging.warning("%s is skipped: %s", sentence.id, sentence.reason)
        if not segments:
            raise ValueError(f"{FLAGS.annotation_dir}: split {split!r} holds no sentence")
        scores = score_whole_clips(segments, bootstrap_samples=FLAGS.bootstrap_samples)
        print(format_scores(split, segments, scores))


def score_whole_clips(
    segments: Sequence[TrueSegment], *, bootstrap_samples: int = 0
) -> dict[str, dict[str, Any]]:
    """m_tIoU, in `[0, 1]`, of the whole clip as the answer to every sentence.

    Args:
        segments: of the sentences.
        bootstrap_samples: how often videos are drawn anew for confidence intervals; 0 for none.

    Returns:
        for all and for each of `tubes.QTYPES` that there is: `sentences`, `m_tIoU` and `interval`
        (`[low, high]`, None without bootstrap samples or with fewer than two videos).
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
    """The table of what `score_whole_clips` returned, under a line that says what it is of."""
    noted = ""
    if any(row["interval"] for row in scores.values()):
        noted = f", in brackets {CONFIDENCE_LEVEL:.0%} intervals of a bootstrap over videos"
    rows = {f"{title} (n={row['sentences']})": row for title, row in scores.items()}
    intervals = {
        title: {METRIC: row["interval"]} if row["interval"] else None for title, row in rows.items()
    }
    table = format_table(rows, columns=[METRIC], intervals=intervals)
    videos = len({segment.video_id for segment in segments})
    return f"Whole clip as answer, split {split}, {videos} videos{noted}:\n{table}"


if __name__ == "__main__":
    program.run(main, define_flags)
