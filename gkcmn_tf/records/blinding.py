"""Inputs with a part withheld, to show what a model can guess without it.

`data.blind` is one of `BLIND`, and applies to training and evaluation alike:

- `none`: the whole input;
- `sentence_only`: all features are zero; the number of steps is known;
- `video_only`: the sentence is replaced by one about another video of the split, drawn at random;
- `one_frame`: each step has the features of the middle step (a window of 8 frames);
- `shuffled_frames`: the steps of the clip are in random order.

Boxes, segments and all other labels stay those of the original sentence. In training, each epoch
has other random sentences and orders. In evaluation they are always the same: they depend only on
the position of the clip and the sentence in the split.
"""

import numpy as np
import tensorflow as tf

BLIND = ("none", "sentence_only", "video_only", "one_frame", "shuffled_frames")


class OtherSentences:
    """Random sentences about other videos.

    Example:
        >>> import tensorflow as tf
        >>> from gkcmn_tf.records.blinding import OtherSentences
        >>> others = OtherSentences(videos=["park", "park", "street"], sentences=[2, 1, 1])
        >>> key = tf.constant([0, 0], tf.int64)
        >>> clips, sentences = others.draw(tf.constant(0, tf.int64), 2, key)
        >>> clips.numpy().tolist(), sentences.numpy().tolist()  # the only clip of another video
        ([2, 2], [0, 0])

    Args:
        videos: id of the video of each clip, at least two different ones.
        sentences: number of sentences of each clip, at least one.

    Raises:
        ValueError: all clips are of one video.
    """

    def __init__(self, videos: list[str], sentences: list[int]):
        _, video_numbers = np.unique(videos, return_inverse=True)
        if not video_numbers.any():
            raise ValueError(
                "data.blind=video_only and data.negative_share draw sentences about other videos, "
                f"but the split has only one, {videos[0]!r}"
            )
        # Clips in the order of their videos: those of one video are neighbours.
        order = np.argsort(video_numbers, kind="stable")
        first = np.searchsorted(video_numbers[order], video_numbers, "left")
        end = np.searchsorted(video_numbers[order], video_numbers, "right")
        self._order = tf.constant(order, tf.int64)
        self._end = tf.constant(end, tf.int64)
        self._others = tf.constant(len(order) - (end - first), tf.int64)
        self._sentences = tf.constant(sentences, tf.int64)

    def draw(
        self, clip_number: tf.Tensor, count: int, key: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws a clip of another video, and sentences of it, for each query.

        Args:
            clip_number: number of the clip, int64.
            count: number of queries.
            key: key of the random numbers, int64 `[2]`.

        Returns:
            int64 `[count]` each: numbers of clips, uniform among those of other videos, and places
            of sentences in them.
        """
        # Enough bits that the remainder is uniform.
        drawn = tf.random.stateless_uniform([2, count], key, 0, 2**62, tf.int64)
        places = self._end[clip_number] + drawn[0] % self._others[clip_number]
        clips = tf.gather(self._order, places % tf.size(self._order, tf.int64))
        return clips, drawn[1] % tf.gather(self._sentences, clips)


def blind_features(
    blind: str, features: tf.Tensor, num_steps: tf.Tensor, key: tf.Tensor
) -> tf.Tensor:
    """Withholds a part of the features of a clip.

    Args:
        blind: one of `BLIND`.
        features: `[T, ...]`, zero after the steps of the clip.
        num_steps: number of steps of the clip, 1 to `T`.
        key: key of the random numbers, int64 `[2]`.

    Returns:
        features `[T, ...]`, still zero after the steps of the clip.
    """
    if blind == "sentence_only":
        return tf.zeros_like(features)
    steps = tf.range(tf.shape(features)[0])
    num_steps = tf.cast(num_steps, tf.int32)
    if blind == "one_frame":
        chosen = tf.where(steps < num_steps, num_steps // 2, steps)
    elif blind == "shuffled_frames":
        shuffled = tf.random.experimental.stateless_shuffle(steps[:num_steps], key)
        chosen = tf.concat([shuffled, steps[num_steps:]], axis=0)
    else:
        return features
    return tf.gather(features, chosen)
