"""Batches for training and evaluation, from the records of `data.prepare`.

A batch is `(inputs, labels)` as `GroundingModel` describes them; its shapes are static. Labels also
carry what evaluation needs: `qtype` int32 `[B, Q]` (a place in `tubes.QTYPES`), `index` int64
`[B, Q]` (the sentence's place in the order in which `records.read_clips` gives the split's, -1
at filler) and `num_frames` float32 `[B]`.

The order is a function of the seed and the step alone: neither the number of workers nor an
interruption changes which sentences a global batch holds. Only after a batch is made up and shared
out among workers are its features read.
"""

import os
import typing

import numpy as np
import tensorflow as tf

from gkcmn_tf import tubes
from gkcmn_tf.features import feature_storage
from gkcmn_tf.records import clip_records
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.video import steps
from gkcmn_tf.video.windows import frame_windows, windows_in

if typing.TYPE_CHECKING:  # its packages are no part of the core
    from gkcmn_tf.config import DataConfig

AUTOTUNE = tf.data.AUTOTUNE


def from_config(
    config: "DataConfig",
    split: str,
    tokenizer: Tokenizer,
    *,
    global_batch_size: int,
    training: bool,
    seed: int = 0,
    start_step: int = 0,
    input_context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Batches of a split.

    Args:
        config: says where the records are and what shape batches have.
        split: its name.
        tokenizer: makes `tokens`.
        global_batch_size: clips a batch, over all replicas.
        training: shuffled and without end; else every sentence once, in order, and the last batch
            filled up.
        seed: of the order.
        start_step: number of the first batch to yield (training).
        input_context: which share of the global batches to yield; the replicas' batches come one
            after another.

    Raises:
        FileNotFoundError: the folder has no records of the split.
        ValueError: the split holds no sentence, or the batch size is no multiple of the number of
            replicas.
        tf.errors.NotFoundError: (when iterated) a video's features are missing.
        tf.errors.InvalidArgumentError: (when iterated) they end before the clip; the file is named.
    """
    pipelines, pipeline, replicas = 1, 0, 1
    if input_context is not None:
        pipelines = input_context.num_input_pipelines
        pipeline = input_context.input_pipeline_id
        replicas = input_context.num_replicas_in_sync
    if global_batch_size % replicas:
        raise ValueError(
            f"train.global_batch_size: {global_batch_size} is not a multiple of the "
            f"{replicas} replicas"
        )
    examples = _Examples(config, split, tokenizer)
    dataset = (
        examples.shuffled(seed, start_step * global_batch_size)
        if training
        else examples.in_order(global_batch_size)
    )
    share = global_batch_size // pipelines
    dataset = (
        dataset.batch(global_batch_size, drop_remainder=True)
        .map(
            lambda batch: tf.nest.map_structure(
                lambda x: x[pipeline * share : (pipeline + 1) * share], batch
            )
        )
        .unbatch()
        .map(examples.with_features, num_parallel_calls=AUTOTUNE)
        .batch(global_batch_size // replicas, drop_remainder=True)
    )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options).prefetch(2)


def clip_inputs(features, begin, end, max_steps: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The steps of a clip, from the features of its video.

    Args:
        features: `[windows, S, S, C]`.
        begin: first frame of the clip.
        end: frame behind its last.
        max_steps: `T`.

    Returns:
        features `[T, S, S, C]`, zero beyond the clip's `T'` steps, and bool `[T]`, True at those.
    """
    begin, end = tf.cast(begin, tf.int64), tf.cast(end, tf.int64)
    num_steps = count_steps(begin, end, max_steps)
    frames = steps.nearest_frames(tf.range(num_steps), begin, end, num_steps)
    gathered = tf.gather(features, frame_windows(frames))
    padded = tf.pad(gathered, [[0, max_steps - num_steps], [0, 0], [0, 0], [0, 0]])
    return padded, tf.range(max_steps, dtype=tf.int64) < num_steps


def count_steps(begin: tf.Tensor, end: tf.Tensor, max_steps: int) -> tf.Tensor:
    """`steps.count_steps` on int64 tensors."""
    return tf.minimum(windows_in(end - begin), max_steps)


class _Examples:
    """The groups of `Q` sentences of a split, each with the labels of its clip.

    Clips are held in memory as they are stored (VidSTG's training split: some 300 MB), without
    their features; so any order costs the same, and skipping costs nothing.
    """

    def __init__(self, config, split, tokenizer):
        self.config = config
        self.tokenizer = tokenizer
        paths = clip_records.clip_shards(config.records_dir, split)
        clips = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
        sentences = [clip_records.count_sentences(clip) for clip in clips]
        if not sum(sentences):
            raise ValueError(
                f"{config.records_dir}: split {split!r} holds no sentence; manifest.json says what "
                "data.prepare skipped, and why"
            )
        groups = [-(-count // config.queries_per_clip) for count in sentences]
        self.clips = tf.constant(clips)
        # Which clip an example belongs to, and which group of it it is; each clip's first sentence
        # among all.
        self.clip_numbers = np.repeat(np.arange(len(groups)), groups)
        self.group_numbers = np.concatenate([np.arange(count) for count in groups])
        self.first_sentences = np.cumsum([0, *sentences[:-1]])

    def in_order(self, batch_size):
        """Every sentence once, then filler up to a whole batch."""
        numbers = tf.data.Dataset.range(len(self.clip_numbers))
        examples = numbers.map(self._example(None), num_parallel_calls=AUTOTUNE)
        filler = tf.nest.map_structure(
            lambda spec: tf.zeros(spec.shape, spec.dtype), examples.element_spec
        )
        filler |= {"index": -tf.ones_like(filler["index"])}
        missing = -len(self.clip_numbers) % batch_size
        return examples.concatenate(tf.data.Dataset.from_tensors(filler).repeat(missing))

    def shuffled(self, seed, start):
        """Epoch after epoch, each in an order of its own, from example number `start` on."""
        count = len(self.clip_numbers)
        first_epoch, skipped = divmod(start, count)

        def epoch_numbers(epoch):
            order = tf.random.experimental.stateless_shuffle(
                tf.range(count, dtype=tf.int64), tf.stack([seed, epoch])
            )
            return tf.data.Dataset.from_tensor_slices(order).map(
                lambda number: tf.stack([number, epoch])
            )

        numbers = tf.data.Dataset.counter(first_epoch).flat_map(epoch_numbers).skip(skipped)
        example = self._example(seed)
        return numbers.map(
            lambda number: example(number[0], number[1]), num_parallel_calls=AUTOTUNE
        )

    def _example(self, seed):
        """The function that maps an example's number, and epoch, to its labels and clip.

        With a seed, the sentences of a clip are put into groups anew in every epoch.
        """
        clip_numbers = tf.constant(self.clip_numbers)
        group_numbers = tf.constant(self.group_numbers)
        first_sentences = tf.constant(self.first_sentences, tf.int64)
        Q = self.config.queries_per_clip

        def example(number, epoch=None):
            clip_number = clip_numbers[number]
            clip = clip_records.parse_clip(self.clips[clip_number])
            labels = self._labels(clip)
            count = tf.size(labels["qtype"])
            labels["index"] = first_sentences[clip_number] + tf.range(count, dtype=tf.int64)
            order = tf.range(count)
            if seed is not None:
                key = tf.stack([seed + epoch * 2**32, clip_number])
                order = tf.random.experimental.stateless_shuffle(order, key)
            places = tf.cast(group_numbers[number], tf.int32) * Q + tf.range(Q)
            chosen = tf.gather(order, tf.minimum(places, count - 1))
            group = {name: tf.gather(value, chosen) for name, value in labels.items()}
            group = self._clear(group, places < count)
            return group | {key: clip[key] for key in ("begin", "end", "features_file")}

        return example

    @staticmethod
    def _clear(group, real):
        """The group with filler where it is not `real`, bool `[Q]`."""

        def clear(name, value):
            mask = tf.reshape(real, [-1] + [1] * (value.shape.rank - 1))
            filler = -1 if name == "index" else 0
            return tf.where(mask, value, tf.cast(filler, value.dtype))

        return {name: clear(name, value) for name, value in group.items()}

    def _labels(self, clip):
        """Tokens and labels of each of a clip's `n` sentences, `[n, ...]`."""
        T = self.config.max_steps
        begin, end = clip["begin"], clip["end"]
        num_steps = count_steps(begin, end, T)
        segments = clip["sentence/segment"]
        step = tf.range(T, dtype=tf.int64)
        frames = steps.nearest_frames(step, begin, end, num_steps)
        inside = (frames >= segments[:, :1]) & (frames < segments[:, 1:])
        box_mask = inside & (step < num_steps)
        lengths = segments[:, 1] - segments[:, 0]
        rows = tf.cumsum(lengths, exclusive=True)[:, None] + frames - segments[:, :1]
        rows = tf.where(box_mask, rows, 0)
        size = tf.cast(
            tf.stack([clip["width"], clip["height"], clip["width"], clip["height"]]), tf.float32
        )
        boxes = tf.clip_by_value(tf.gather(clip["sentence/boxes"], rows) / size, 0.0, 1.0)
        begin, end, num_steps = (tf.cast(x, tf.float32) for x in (begin, end, num_steps))
        segment = steps.frames_to_steps(tf.cast(segments, tf.float32), begin, end, num_steps)
        qtypes = tf.constant(tubes.QTYPES)
        return {
            "tokens": self.tokenizer.tokenize_tensor(clip["sentence/text"]),
            "boxes": tf.where(box_mask[..., None], boxes, 0.0),
            "box_mask": box_mask,
            "segment": tf.clip_by_value(segment, 0.0, num_steps),
            "query_mask": tf.ones(tf.shape(lengths), tf.bool),
            "qtype": tf.argmax(
                clip["sentence/qtype"][:, None] == qtypes, axis=1, output_type=tf.int32
            ),
        }

    def with_features(self, example):
        """`(inputs, labels)` of one group."""
        config = self.config
        labels = dict(example)
        tokens, begin, end, file = (
            labels.pop(key) for key in ("tokens", "begin", "end", "features_file")
        )
        shape = [config.max_steps, config.grid_size, config.grid_size, config.feature_channels]

        def read():
            path = tf.strings.join([config.records_dir, os.sep, file])
            record = tf.data.TFRecordDataset(path).get_single_element()
            features = feature_storage.parse_video_features(record)["features"]
            windows = tf.shape(features, tf.int64)[0]
            enough = tf.debugging.Assert(
                windows_in(end) <= windows,
                [path, "has too few windows for a clip: windows, begin, end", windows, begin, end],
            )
            # Else reading beyond the end might fail first, with a message that names no file.
            with tf.control_dependencies([enough]):
                return clip_inputs(tf.identity(features), begin, end, config.max_steps)

        def fill():
            return tf.zeros(shape, tf.float16), tf.zeros(shape[:1], tf.bool)

        features, step_mask = tf.cond(file != "", read, fill)
        inputs = {
            "features": tf.ensure_shape(features, shape),
            "step_mask": tf.ensure_shape(step_mask, shape[:1]),
            "tokens": tokens,
        }
        return inputs, labels | {"num_frames": tf.cast(end - begin, tf.float32)}
