"""Validation of queries, and conversion of results to frames of the video file."""

import numpy as np
from absl import logging

from gkcmn_tf import tubes
from gkcmn_tf.text.standardization import standardize
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.video import frame_rates

# Containers round time stamps to milliseconds.
_TOLERANCE = 1e-3  # seconds


def check_sentence(sentence: str, tokenizer: Tokenizer) -> None:
    """Validates a sentence; warns of unknown words and of truncation.

    Args:
        sentence: the query.
        tokenizer: tokenizer of the model.

    Raises:
        ValueError: the sentence has no words.
    """
    words = standardize(sentence).split()
    if not words:
        raise ValueError(
            f"sentence {sentence!r}: contains no word; describe an object and what it does"
        )
    if unknown := tokenizer.unknown_words(sentence):
        logging.warning(
            "sentence %r: words that the model was not trained on: %s", sentence, ", ".join(unknown)
        )
    if len(words) > tokenizer.max_words:
        logging.warning(
            "sentence %r: has %d words; the model reads the first %d",
            sentence,
            len(words),
            tokenizer.max_words,
        )


def clip_frames(
    timeline: frame_rates.Timeline, begin: float | None, end: float | None
) -> tuple[int, int]:
    """Converts a time range to the frames `[begin, end)` shown in it.

    Args:
        timeline: timeline of the video.
        begin: begin in seconds after the first frame; None for the first frame.
        end: end in seconds; None for the end of the video.

    Raises:
        ValueError: the range is invalid, or has no samples after resampling.
    """
    duration = timeline.end_time
    first = 0.0 if begin is None else begin
    last = duration if end is None else end
    if not 0 <= first < last <= duration + _TOLERANCE:
        raise ValueError(
            f"--begin={first:g} --end={last:g}: expected 0 <= begin < end in seconds, within the "
            f"video's {duration:.2f} s"
        )
    begin_frame = int(np.searchsorted(timeline.times, first + _TOLERANCE, side="right")) - 1
    end_frame = int(np.searchsorted(timeline.times, last - _TOLERANCE, side="left"))
    begin_frame = max(begin_frame, 0)
    end_frame = max(end_frame, begin_frame + 1)
    first_sample, end_sample = timeline.to_samples(begin_frame, end_frame)
    if first_sample == end_sample:
        raise ValueError(
            f"--begin={first:g} --end={last:g}: contains no frames at the frame rate of the "
            "training videos; use a longer range"
        )
    return begin_frame, end_frame


def in_file_frames(
    tube: tubes.Tube, video: frame_rates.SourceVideo, clip_end: int, sentence: str = ""
) -> tubes.Tube:
    """Converts a tube from samples to frames of the file; adds sentence and video.

    Args:
        tube: tube in samples of the resampled video.
        video: the video file.
        clip_end: end frame (exclusive) of the searched clip, in frames of the file.
        sentence: the query.

    Returns:
        the tube in frames of the file.
    """
    timeline = video.timeline
    begin, end = timeline.to_frames(tube.begin, tube.end)
    end = min(end, clip_end)
    boxes = timeline.boxes_in_frames(tube.boxes, tube.begin, tube.end)[: end - begin]
    return tubes.Tube(begin, end, np.round(boxes, 2), tube.score, sentence=sentence, video=video)
