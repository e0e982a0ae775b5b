"""What is asked about a clip of a video, and answered in the frames and seconds of its file."""

from collections.abc import Sequence

import numpy as np
from absl import logging

from gkcmn_tf import frame_rates, tubes


def check_words(query: str, words: Sequence[str], unknown: Sequence[str], max_words: int) -> None:
    """Raises `ValueError` for a query without words; warns of unknown and of surplus words.

    Args:
        query: the sentence, for the messages.
        words: all of its words.
        unknown: those that the model does not know.
        max_words: how many of them it reads.
    """
    if not words:
        raise ValueError(f"--query={query!r}: holds no word; describe an object and what it does")
    if unknown:
        logging.warning("--query=%r: words that training never saw: %s", query, unknown)
    if len(words) > max_words:
        logging.warning(
            "--query=%r: has %d words; only the first %d count", query, len(words), max_words
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


def in_file_frames(tube: tubes.Tube, timeline: frame_rates.Timeline, clip_end: int) -> tubes.Tube:
    """A tube of resampled frames in the file's frames, none of them behind the clip's."""
    begin, end = timeline.to_frames(tube.begin, tube.end)
    end = min(end, clip_end)
    boxes = timeline.boxes_in_frames(tube.boxes, tube.begin, tube.end)[: end - begin]
    return tubes.Tube(begin, end, np.round(boxes, 2), tube.score)


def describe(query: str, tube: tubes.Tube, timeline: frame_rates.Timeline) -> dict:
    """The tube as JSON, in frames and in seconds."""
    begin, end = timeline.seconds(tube.begin, tube.end)
    seconds = {"begin_seconds": begin, "end_seconds": end}
    return {"query": query} | tubes.tube_to_json(tube) | seconds
