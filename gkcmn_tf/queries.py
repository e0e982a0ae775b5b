"""Query validation, and results in the frames of the video file."""

import numpy as np
from absl import logging

from gkcmn_tf import tubes
from gkcmn_tf.text.standardization import split_words
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.video import frame_rates


def check_query(tokenizer: Tokenizer, query: str) -> None:
    """Raises `ValueError` for a query without words; warns of unknown and of surplus words."""
    (words,) = split_words([query])
    if not words:
        raise ValueError(f"--query={query!r}: holds no word; describe an object and what it does")
    if unknown := tokenizer.unknown_words(query):
        logging.warning("--query=%r: words that training never saw: %s", query, unknown)
    if len(words) > tokenizer.max_words:
        logging.warning(
            "--query=%r: has %d words; only the first %d count",
            query,
            len(words),
            tokenizer.max_words,
        )


def clip_bounds(timeline: frame_rates.Timeline, begin: int, end: int | None) -> tuple[int, int]:
    """The clip `[begin, end)`; `ValueError` if it is not in the video, or resampling skips it."""
    frames = timeline.frame_count
    end = frames if end is None else end
    if not 0 <= begin < end <= frames:
        raise ValueError(f"--begin={begin} --end={end}: not a range of the video's {frames} frames")
    first, behind = timeline.to_samples(begin, end)
    if first == behind:
        raise ValueError(
            f"--begin={begin} --end={end}: so short that at the frame rate of the model's training "
            "none of its frames is seen; take a longer clip"
        )
    return begin, end


def in_file_frames(
    tube: tubes.Tube, video: frame_rates.SourceVideo, clip_end: int, sentence: str = ""
) -> tubes.Tube:
    """A tube of resampled frames as one of the file's frames, with its sentence and video.

    Args:
        tube: in the frames that the model saw.
        video: the file.
        clip_end: end frame (exclusive) of the searched clip, in the file's frames.
        sentence: what the tube answers.
    """
    timeline = video.timeline
    begin, end = timeline.to_frames(tube.begin, tube.end)
    end = min(end, clip_end)
    boxes = timeline.boxes_in_frames(tube.boxes, tube.begin, tube.end)[: end - begin]
    return tubes.Tube(begin, end, np.round(boxes, 2), tube.score, sentence=sentence, video=video)
