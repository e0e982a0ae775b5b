"""Query validation, and results in the frames of the video file."""

import numpy as np
from absl import logging

from gkcmn_tf import tubes
from gkcmn_tf.text.standardization import standardize
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.video import frame_rates

# Containers round time stamps to milliseconds.
_TOLERANCE = 1e-3  # seconds


def check_sentence(sentence: str, tokenizer: Tokenizer) -> None:
    """Raises `ValueError` for a sentence without words; warns of unknown and of surplus words.

    Args:
        sentence: as the user gave it.
        tokenizer: of the model.
    """
    words = standardize(sentence).split()
    if not words:
        raise ValueError(
            f"sentence {sentence!r}: holds no word; describe an object and what it does"
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
    """The frames `[begin, end)` that are shown between two moments of a video.

    Args:
        timeline: of the video.
        begin: in seconds after the first frame; None for the video's begin.
        end: in seconds; None for the video's end.

    Raises:
        ValueError: there is no such stretch, or none of its frames is left by resampling.
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
            f"--begin={first:g} --end={last:g}: so short that none of its frames is left at the "
            "frame rate of the model's training; take a longer stretch"
        )
    return begin_frame, end_frame


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
