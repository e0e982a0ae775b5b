"""Clips of videos, with sentences and their true tubes."""

import dataclasses

import numpy as np

QTYPES = ("declarative", "interrogative")


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A sentence and its true tube: frames `[begin, end)`, `boxes` float32 `[end - begin, 4]`."""

    index: int
    id: str
    text: str
    qtype: str
    target_id: int
    begin: int
    end: int
    boxes: np.ndarray


@dataclasses.dataclass(frozen=True)
class Clip:
    """Frames `[begin, end)` of a video, with the sentences asked about them."""

    video_id: str
    begin: int
    end: int
    fps: float
    width: int
    height: int
    frame_count: int
    sentences: tuple[Sentence, ...]
