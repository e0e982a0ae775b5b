"""Validation of queries, and conversion of results to frames of the video file."""

import numpy as np
from absl import logging

from gkcmn_tf import tubes
from gkcmn_tf.text.standardization import standardize
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.video import frame_rates


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
        begin: begin in seconds after the start of the file; None for the first frame.
        end: end in seconds after the start of the file; None for the last frame.

    Raises:
        ValueError: the range is invalid, or has no samples after resampling.
    """
    starts, ends = timeline.times[0], timeline.end_time
    first = 0.0 if begin is None else begin
    last = ends if end is None else end
    rounding = float(frame_rates.ROUNDING)
    if not (0 <= first < last <= ends + rounding and last > starts + rounding):
        shown = f"picture, from {starts:.2f} to" if starts else "video's"
        raise ValueError(
            f"--begin={first:g} --end={last:g}: expected 0 <= begin < end in seconds, within the "
            f"{shown} {ends:.2f} s"
        )
    begin_frame, end_frame = timeline.frames_shown(first, last)
    first_sample, end_sample = timeline.to_samples(begin_frame, end_frame)
    if first_sample == end_sample:
        raise ValueError(
            f"--begin={first:g} --end={last:g}: contains no frames at the frame rate of the "
            "training videos; use a longer range"
        )
    return begin_frame, end_frame


def in_file_frames(
    tube: tubes.Tube, video: frame_rates.SourceVideo, clip: tuple[int, int], sentence: str = ""
) -> tubes.Tube:
    """Converts a tube from samples to frames of the file; adds sentence, video and clip.

    Args:
        tube: tube in samples of the resampled video.
        video: the video file.
        clip: the searched clip, frames `[begin, end)` of the file.
        sentence: the query.

    Returns:
        the tube in frames of the file.
    """
    timeline = video.timeline
    begin, end = timeline.to_frames(tube.begin, tube.end)
    end = min(end, clip[1])
    boxes = timeline.boxes_in_frames(tube.boxes, tube.begin, tube.end)[: end - begin]
    return tubes.Tube(
        *(begin, end, np.round(boxes, 2), tube.score), sentence=sentence, video=video, clip=clip
    )
