"""Inputs and outputs of the SavedModel's signatures, implemented by `export.grounding_graph`.

The first axis of every tensor is the batch `B`, so that a server can merge requests. Frames are
numbered from 0, segments are half-open, boxes are `x1 y1 x2 y2` in pixels. Inputs, by signature:

| name | type, shape | meaning | serving_default | ground_features | ground_video | encode_video |
|---|---|---|---|---|---|---|
| `features` | float32 `[B, W, S, S, C]` | video features, one window per 4 frames | x | x | | |
| `begin`, `end` | int32 `[B]` | clip to search, in frames | x | x | | |
| `frames` | uint8 `[B, F, H, W, 3]` | RGB frames, at least 16x16 | | | x | x |
| `frame_count` | int32 `[B]` | number of valid frames; the rest is padding | | | x | x |
| `fps` | float32 `[B]` | frames per second, for results in seconds | x | x | x | |
| `width`, `height` | int32 `[B]` | frame size of boxes; 0: size of `frames` | x | x | x | |
| `sentence` | string `[B]` | one sentence per clip | x | | x | |
| `sentences` | string `[B, Q]` | several sentences per clip | | x | | |

`encode_video` returns `features`, the input of `serving_default` and `ground_features`; padded
windows are 0.

Long videos need only the windows at the `T` steps of the model: `encode_windows` maps `windows`,
uint8 `[B, W, 8, H, W, 3]`, to `features` `[B, W, S, S, C]`, and `ground_steps` has the inputs of
`ground_features`, except that `features` are those of the steps, `[B, T, S, S, C]`, of which those
after the steps of the clip are ignored. Clients read `T` from the shape in the model's metadata.

The other signatures return tubes. In `ground_features` and `ground_steps` all
outputs have an additional axis `Q` after `B`:

| name | type and shape | meaning |
|---|---|---|
| `segment_frames` | int32 `[B, 2]` | begin and end of the best tube, in frames |
| `segment_seconds` | float32 `[B, 2]` | the same in seconds, computed with `fps` |
| `score` | float32 `[B]` | score of the best tube, 0 to 1 |
| `boxes` | float32 `[B, F, 4]` | row `i` is frame `begin + i`; 0 after the end of the clip |
| `top_segments_frames` | int32 `[B, K, 2]` | segments of the `K` best tubes, best first |
| `top_segments_seconds` | float32 `[B, K, 2]` | the same in seconds |
| `top_scores` | float32 `[B, K]` | scores; 0, with an empty segment, for missing tubes |
| `unknown_words` | int32 `[B]` | number of the sentence's words that the model does not know |

All tubes of a sentence share `boxes`. The temporal IoU of any two of the `K` tubes is at most
`decoding.MAX_TUBE_IOU`. The frames of a video, the clips and the sentences of a request are
limited (`--max_frames`, `--max_clips` and `--max_sentences` of the export). Invalid inputs raise an
`InvalidArgumentError` that names the input and the expected values; the whole batch fails.
"""

import dataclasses

import tensorflow as tf

from gkcmn_tf.video.windows import WINDOW_FRAMES

Specs = dict[str, tf.TensorSpec]


@dataclasses.dataclass(frozen=True)
class Signature:
    """Names, types and shapes of a signature's inputs and outputs; None for dynamic sizes."""

    inputs: Specs
    outputs: Specs


def signatures(grid: tuple[int, int, int], max_steps: int, top_k: int) -> dict[str, Signature]:
    """Returns all signatures by name.

    Args:
        grid: shape `(S, S, C)` of the features of a window.
        max_steps: `T`, maximum number of steps of a clip.
        top_k: number of tubes per sentence, `K`.
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
        "ground_steps": Signature(
            {"features": tf.TensorSpec([None, max_steps, *grid], tf.float32)}
            | clip
            | picture
            | sentences,
            _tubes(top_k, None),
        ),
        "encode_windows": Signature(
            {"windows": tf.TensorSpec([None, None, WINDOW_FRAMES, None, None, 3], tf.uint8)},
            features,
        ),
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
        "unknown_words": _batch(tf.int32, *queries),
    }
