"""Mirrored views: a split's videos seen in a mirror, as further examples to train on.

Frames and boxes swap left and right, and so do the words of the sentences. A mirrored video has an
id of its own, and so its own features: a network that was not trained on mirrored pictures does not
give mirrored features for them.
"""

import dataclasses
import re

from gkcmn_tf.records.clip_records import Clip

from .annotations import SplitAnnotations

SUFFIX = "~mirrored"
SPLIT_SUFFIX = "_mirrored"

_SIDES = {"left": "right", "right": "left"}
_WORDS = re.compile(r"\b(left|right)(?=(most|wards?|hand|side)?\b)", re.IGNORECASE)


def is_mirrored(video_id: str) -> bool:
    """Whether an id is that of a mirrored video."""
    return video_id.endswith(SUFFIX)


def original_id(video_id: str) -> str:
    """The id of the video that is mirrored, or the id itself."""
    return video_id.removesuffix(SUFFIX)


def mirror_text(text: str) -> str:
    """Swaps `left` and `right`, also in `leftmost`, `right-hand` and the like; keeps capitals.

    English only, and by the letter: the `left` of a man who left is swapped too.
    """

    def swap(match):
        word = match[0]
        swapped = _SIDES[word.lower()]
        if word.isupper():
            return swapped.upper()
        return swapped.capitalize() if word[0].isupper() else swapped

    return _WORDS.sub(swap, text)


def mirror_clip(clip: Clip) -> Clip:
    """The clip in the mirrored video; ids get a suffix."""
    sentences = []
    for sentence in clip.sentences:
        boxes = sentence.boxes.copy()
        boxes[:, [0, 2]] = clip.width - boxes[:, [2, 0]]
        sentences.append(
            dataclasses.replace(
                sentence, id=sentence.id + SUFFIX, text=mirror_text(sentence.text), boxes=boxes
            )
        )
    return dataclasses.replace(clip, video_id=clip.video_id + SUFFIX, sentences=tuple(sentences))


def mirror_split(annotations: SplitAnnotations) -> SplitAnnotations:
    """The same split in a mirror; what its annotations lack is accounted for in the split itself.

    Raises:
        ValueError: a video's id looks as if it were mirrored already.
    """
    for video_id in annotations.videos:
        if is_mirrored(video_id):
            raise ValueError(f"video {video_id}: an id that ends in {SUFFIX} cannot be mirrored")
    return SplitAnnotations(
        clips=[mirror_clip(clip) for clip in annotations.clips],
        videos={video_id + SUFFIX: path for video_id, path in annotations.videos.items()},
    )
