"""Horizontal mirroring of videos and annotations, for data augmentation.

Frames and boxes are flipped, and `left` and `right` are swapped in sentences. A mirrored video has
its own id and its own features, since I3D features are not equivariant to mirroring.
"""

import dataclasses
import re

from gkcmn_tf.records.clip_records import Clip
from gkcmn_tf.text.standardization import UNSPACED, standardize

from .annotations import MIRRORED, SplitAnnotations

SUFFIX = MIRRORED
SPLIT_SUFFIX = "_mirrored"

_SIDES = {"left": "right", "right": "left"}
# Words end where `gkcmn_tf.text.standardization` ends them, as in `left_of`.
_LETTER = r"[^\W_]"
_BEFORE = f"(?:(?<!{_LETTER})|(?<=[{UNSPACED}]))"
_AFTER = f"(?=(?:most|wards?|hand|side)?(?:(?!{_LETTER})|[{UNSPACED}]))"
_WORDS = re.compile(f"{_BEFORE}(left|right){_AFTER}", re.IGNORECASE)


def is_mirrored(video_id: str) -> bool:
    """Returns whether an id belongs to a mirrored video."""
    return video_id.endswith(SUFFIX)


def original_id(video_id: str) -> str:
    """Returns the id of the original video."""
    return video_id.removesuffix(SUFFIX)


def mirror_text(text: str) -> str:
    """Swaps `left` and `right`, also in words such as `leftmost` and `right_hand`; keeps case.

    English only. The verb form `left` is swapped as well. If the model would read other words than
    the text shows, as in full-width letters, the standardized text is returned.
    """
    swapped = _swap_sides(text)
    as_read = _swap_sides(standardize(text))
    return swapped if standardize(swapped) == as_read else as_read


def _swap_sides(text):

    def swap(match):
        word = match[0]
        swapped = _SIDES[word.lower()]
        if word.isupper():
            return swapped.upper()
        return swapped.capitalize() if word[0].isupper() else swapped

    return _WORDS.sub(swap, text)


def mirror_clip(clip: Clip) -> Clip:
    """Returns the clip of the mirrored video; ids get the suffix `SUFFIX`."""
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
    """Returns the mirrored split, without skipped sentences and notices of the original.

    Raises:
        ValueError: a video's id ends in `SUFFIX`.
    """
    for video_id in annotations.videos:
        if is_mirrored(video_id):
            raise ValueError(f"video {video_id}: an id that ends in {SUFFIX} cannot be mirrored")
    return SplitAnnotations(
        clips=[mirror_clip(clip) for clip in annotations.clips],
        videos={video_id + SUFFIX: path for video_id, path in annotations.videos.items()},
        in_file_frames={video_id + SUFFIX for video_id in annotations.in_file_frames},
    )
