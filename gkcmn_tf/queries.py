"""Query validation, and results in the frames of the video file."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from gkcmn_tf import tubes
from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.features.statistics import feature_distance
from gkcmn_tf.text.standardization import standardize
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.video import frame_rates, steps

# Containers round time stamps to milliseconds.
_TOLERANCE = 1e-3  # seconds

MAX_SECONDS_PER_STEP = 1.0
LENGTH_TOLERANCE = 1.5  # times as long, or as short, as any clip of training


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


def unfamiliar(
    video: EncodedVideo, clip: tuple[int, int], max_steps: int, training: Mapping[str, Any]
) -> list[str]:
    """In what a clip differs from those that a model was trained on; empty if in nothing.

    Args:
        video: encoded.
        clip: the searched frames `[begin, end)` of the file.
        max_steps: `T`, steps that the model sees of a clip.
        training: content of the run's `training_statistics.json`; may be empty.
    """
    begin, end = video.source.timeline.seconds(*clip)
    seconds = end - begin
    first, last = video.source.timeline.to_samples(*clip)
    per_step = seconds / steps.count_steps(first, last, max_steps)
    found = []
    if per_step > MAX_SECONDS_PER_STEP:
        found.append(
            f"each of the {max_steps} steps that the model sees stands for {per_step:.1f} s"
        )
    if not training:
        return found
    usual = training["clips"]["seconds"]
    if not usual["min"] / LENGTH_TOLERANCE <= seconds <= usual["max"] * LENGTH_TOLERANCE:
        found.append(
            f"it lasts {seconds:.1f} s, clips of training {usual['min']:.1f} to "
            f"{usual['max']:.1f} s"
        )
    distance = feature_distance(video.features, training)
    usual_distance = training["features"]["distance"]["p99"]
    if distance > usual_distance:
        found.append(
            f"its features lie {distance:.2f} standard deviations from those of training, where "
            f"99 % of the clips lie within {usual_distance:.2f}"
        )
    return found


def warn_unfamiliar(
    video: EncodedVideo, clip: tuple[int, int], max_steps: int, about: Mapping[str, Any]
) -> None:
    """Warns of a clip that differs from those that a model was trained on (see `unfamiliar`).

    Args:
        video: encoded.
        clip: the searched frames `[begin, end)` of the file.
        max_steps: `T`, steps that the model sees of a clip.
        about: of the preset: its `name`, `limits` and statistics of `training`.
    """
    if reasons := unfamiliar(video, clip, max_steps, about.get("training") or {}):
        logging.warning(
            "%s: unlike the training data of %s, so that its tubes may mean nothing: %s. %s",
            video.source.path,
            about.get("name", "the model"),
            "; ".join(reasons),
            about.get("limits", ""),
        )
