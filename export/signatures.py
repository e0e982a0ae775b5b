"""The inputs and outputs of a SavedModel's signatures; `export.grounding_graph` computes them.

All tensors have the batch `B` in front, so that a server may merge requests. Frames are numbered
from 0, segments are half-open, boxes are `x1 y1 x2 y2` in pixels. Inputs, by signature:

| name | type and shape | what | serving_default | ground_features | ground_video | encode_video |
|---|---|---|---|---|---|---|
| `features` | float32 `[B, W, S, S, C]` | of a video: one window a cell of 4 frames | x | x | | |
| `begin`, `end` | int32 `[B]` | the clip of the video to search, in frames | x | x | | |
| `frames` | uint8 `[B, F, H, W, 3]` | RGB, of any size and number | | | x | x |
| `frame_count` | int32 `[B]` | how many of the `F` count; the rest is padding | | | x | x |
| `fps` | float32 `[B]` | frames a second, for the answer in seconds | x | x | x | |
| `width`, `height` | int32 `[B]` | picture that boxes fit; 0: that of `frames` | x | x | x | |
| `sentence` | string `[B]` | | x | | x | |
| `sentences` | string `[B, Q]` | about the same clip | | x | | |

`encode_video` gives `features`, as `serving_default` and `ground_features` take them; windows of
padding are 0. The others give tubes (with a further axis `Q` after `B` in `ground_features`):

| name | type and shape | what |
|---|---|---|
| `segment_frames` | int32 `[B, 2]` | begin and end of the best tube |
| `segment_seconds` | float32 `[B, 2]` | the same in seconds, at `fps` |
| `score` | float32 `[B]` | of the best tube, 0 to 1 |
| `boxes` | float32 `[B, F, 4]` | row `i`: frame `begin + i`; 0 after a clip shorter than `F` |
| `top_segments_frames` | int32 `[B, K, 2]` | of the `K` best tubes, the best one first |
| `top_segments_seconds` | float32 `[B, K, 2]` | |
| `top_scores` | float32 `[B, K]` | 0, with an empty segment, where there are fewer than `K` |

All tubes of a sentence take their boxes from `boxes`. No two of the `K` have a temporal IoU above
`grounding_graph.MAX_TUBE_IOU`. Inputs that cannot be answered are refused: an
`InvalidArgumentError` names the input and what was expected of it. It fails the whole batch.
"""

import dataclasses

import tensorflow as tf

Specs = dict[str, tf.TensorSpec]


@dataclasses.dataclass(frozen=True)
class Signature:
    """Names, types and shapes of a signature's inputs and outputs; None for what may vary."""

    inputs: Specs
    outputs: Specs


def signatures(grid: tuple[int, int, int], top_k: int) -> dict[str, Signature]:
    """All signatures, by name.

    Args:
        grid: shape `(S, S, C)` of the features of a window.
        top_k: `K`.
    """
    features = {"features": tf.TensorSpec([None, None, *grid], tf.float32)}
    clip = {"begin": _batch(tf.int32), "end": _batch(tf.int32)}
    video = {
        "frames": tf.TensorSpec([None, None, None, None, 3], tf.uint8),
        "frame_count": _batch(tf.int32),
    }
    picture = {
        "fps": _batch(tf.float32),
        "width": _batch(tf.int32),
        "height": _batch(tf.int32),
    }
    sentence = {"sentence": _batch(tf.string)}
    sentences = {"sentences": _batch(tf.string, None)}
    stored = features | clip | picture
    return {
        "serving_default": Signature(stored | sentence, _tubes(top_k)),
        "ground_features": Signature(stored | sentences, _tubes(top_k, None)),
        "ground_video": Signature(video | picture | sentence, _tubes(top_k)),
        "encode_video": Signature(video, features),
    }


def _batch(dtype, *shape):
    return tf.TensorSpec([None, *shape], dtype)


def _tubes(top_k, *queries):
    return {
        "segment_frames": _batch(tf.int32, *queries, 2),
        "segment_seconds": _batch(tf.float32, *queries, 2),
        "score": _batch(tf.float32, *queries),
        "boxes": _batch(tf.float32, *queries, None, 4),
        "top_segments_frames": _batch(tf.int32, *queries, top_k, 2),
        "top_segments_seconds": _batch(tf.float32, *queries, top_k, 2),
        "top_scores": _batch(tf.float32, *queries, top_k),
    }
