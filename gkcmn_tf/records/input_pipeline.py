"""Input pipeline for training and evaluation, from the records of `data.prepare`.

`data.blind` withholds a part of the inputs (see `gkcmn_tf.records.blinding`).

A batch is `(inputs, labels)` with static shapes; see `GroundingModel`. In addition, labels contain
`index`, int64 `[B, Q]`: the position of the sentence in the order of `clip_records.read_clips`, -1
at padding.

Examples are numbered; the content of an example depends only on its number and the seed. Each
worker computes only the examples of its share of each global batch. Thus the sentences of a global
batch depend neither on the number of workers nor on interruptions.
"""

import contextlib
import os
import re
import typing
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from gkcmn_tf.features import feature_records
from gkcmn_tf.records import blinding, clip_records
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.tf_examples import load_records
from gkcmn_tf.video import steps
from gkcmn_tf.video.windows import frame_windows, windows_in

if typing.TYPE_CHECKING:  # requires packages of an extra
    from gkcmn_tf.config import DataConfig

AUTOTUNE = tf.data.AUTOTUNE
RECORDS_AT_A_TIME = 512


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
    """Creates the dataset of a split.

    Args:
        config: location of the records and shapes of the batches.
        split: name of the split.
        tokenizer: computes `tokens`.
        global_batch_size: number of clips per batch, over all replicas.
        training: if True, the dataset is shuffled and infinite. Otherwise it yields each sentence
            once, in order, and pads the last batch.
        seed: seed of the shuffling.
        start_step: number of the first batch to yield, in training.
        input_context: input pipeline of this worker; default: a single worker with one replica.

    Returns:
        a dataset of per-replica batches.

    Raises:
        FileNotFoundError: the folder has no records of the split.
        ValueError: the split has no sentences, a training split has only absent ones, or the batch
            size is not a multiple of the number of replicas.
        tf.errors.NotFoundError: (during iteration) the features of a video are missing.
        tf.errors.DataLossError: (during iteration) the features of a video are damaged.
        tf.errors.InvalidArgumentError: (during iteration) the features of a video end before the
            clip, or are of an older version; the message names the file.
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
    examples = _Examples(config, split, tokenizer, seed=seed if training else None)
    if training and examples.count < global_batch_size:
        logging.log_first_n(
            logging.WARNING,
            "%s: split %s has %d example(s), fewer than train.global_batch_size=%d: batches "
            "contain duplicates; a batch size of at most %d is faster and uses less memory",
            1,
            *(config.records_dir, split, examples.count, global_batch_size, examples.count),
        )
    share = global_batch_size // pipelines
    first = start_step * global_batch_size + pipeline * share
    if training:
        counter = tf.data.Dataset.counter()
    else:
        counter = tf.data.Dataset.range(share * -(-examples.count // global_batch_size))
    dataset = (
        counter.map(lambda i: first + i // share * global_batch_size + i % share)
        .map(examples.labels, num_parallel_calls=AUTOTUNE)
        .map(examples.with_features, num_parallel_calls=AUTOTUNE)
        .batch(global_batch_size // replicas, drop_remainder=True)
    )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options).prefetch(2)


@contextlib.contextmanager
def damage_named(records_dir: str) -> Iterator[None]:
    """Names the file of features that a pipeline cannot read in a `ValueError`."""
    try:
        yield
    except tf.errors.DataLossError as error:
        place = re.search(r"record at (\d+)", error.message)
        folder = os.path.join(records_dir, "features")
        for name in sorted(os.listdir(folder)) if place else ():
            path = os.path.join(folder, name)
            if name.endswith(".tfrecord") and feature_records.is_damaged_at(path, int(place[1])):
                raise ValueError(f"{path}: {feature_records.DAMAGED}") from error
        raise
    except tf.errors.InvalidArgumentError as error:
        fault = re.search(rf"\[{feature_records.FAULT_MARK}(.+)\]", error.message)
        if fault is None:
            raise
        raise ValueError(fault[1].replace("FOLDER", records_dir)) from error


def clip_features(
    path: tf.Tensor, begin: tf.Tensor, end: tf.Tensor, max_steps: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads the features of the steps of a clip, and no others, in a TensorFlow graph.

    Args:
        path: path of the features of the video, a scalar.
        begin: first frame of the clip, int64.
        end: end frame (exclusive) of the clip, int64.
        max_steps: `T`, number of steps after padding.

    Returns:
        features float16 `[T, S, S, C]` and the step mask, as `clip_inputs`.

    Raises:
        tf.errors.NotFoundError: there is no such file.
        tf.errors.DataLossError: the file is damaged.
        tf.errors.InvalidArgumentError: the file ends before the clip, or is of an older version.
    """
    header = feature_records.read_header(path)
    enough = windows_in(end) <= header["shape"][0]
    few = tf.strings.format(
        "has {} windows, too few for a clip that ends at frame {}; run data.prepare again",
        (header["shape"][0], end),
    )
    with tf.control_dependencies([feature_records.check_file(enough, path, few)]):
        windows = _step_windows(begin, end, max_steps)
    return _padded(feature_records.read_rows(path, header, windows), max_steps)


def clip_inputs(features, begin, end, max_steps: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Selects the features of the steps of a clip from the features of its video.

    Args:
        features: `[windows, S, S, C]`.
        begin: first frame of the clip.
        end: end frame (exclusive) of the clip.
        max_steps: `T`, number of steps after padding.

    Returns:
        features `[T, S, S, C]`, padded with zeros after the `T'` steps of the clip, and the step
        mask, bool `[T]`, True at valid steps.
    """
    begin, end = tf.cast(begin, tf.int64), tf.cast(end, tf.int64)
    return _padded(tf.gather(features, _step_windows(begin, end, max_steps)), max_steps)


def _step_windows(begin, end, max_steps):
    """Window of each step of a clip, int64 `[T']`, ascending."""
    num_steps = count_steps(begin, end, max_steps)
    return frame_windows(steps.nearest_frames(tf.range(num_steps), begin, end, num_steps))


def _padded(features, max_steps):
    """Pads the features of `T'` steps to `T`; returns them with the step mask."""
    num_steps = tf.shape(features)[0]
    padded = tf.pad(features, [[0, max_steps - num_steps], [0, 0], [0, 0], [0, 0]])
    return padded, tf.range(max_steps) < num_steps


def count_steps(begin: tf.Tensor, end: tf.Tensor, max_steps: int) -> tf.Tensor:
    """TensorFlow version of `steps.count_steps` for int64 tensors."""
    return tf.minimum(windows_in(end - begin), max_steps)


class _Examples:
    """Examples of a split: groups of `Q` sentences with the labels of their clip.

    Serialized clips without features are kept in memory (about 300 MB for the training split of
    VidSTG), for random access.

    Args:
        config: see `from_config`.
        split: name of the split.
        tokenizer: computes `tokens`.
        seed: seed of the shuffling of examples and groups in each epoch; None keeps the order of
            the records, followed by padding examples.
    """

    def __init__(self, config, split, tokenizer, *, seed=None):
        self.config = config
        self.tokenizer = tokenizer
        self.seed = seed
        paths = clip_records.clip_shards(config.records_dir, split)
        self._clips = load_records(paths)
        counts = [clip_records.count_sentences(clip) for clip in _as_bytes(self._clips)]
        sentences = [count for count, _ in counts]
        if not sum(sentences):
            raise ValueError(
                f"{config.records_dir}: split {split!r} has no sentences; see manifest.json for "
                "the sentences that data.prepare skipped"
            )
        if seed is not None and sum(absent for _, absent in counts) == sum(sentences):
            raise ValueError(
                f"data.train_split: {split!r} has only absent sentences, which have no tube to "
                "train on; add the split of the present ones"
            )
        groups = [-(-count // config.queries_per_clip) for count in sentences]
        self.count = sum(groups)
        # For each example: the clip and the group within the clip. For each clip: the index of its
        # first sentence.
        self._clip_numbers = tf.constant(np.repeat(np.arange(len(groups)), groups))
        self._group_numbers = tf.constant(np.concatenate([np.arange(n) for n in groups]))
        self._first_sentences = tf.constant(np.cumsum([0, *sentences[:-1]]), tf.int64)
        mixes = seed is not None and (config.negative_share or config.splice_share)
        if config.blind == "video_only" or mixes:
            videos = [clip_records.video_id(clip) for clip in _as_bytes(self._clips)]
            self._other_sentences = blinding.OtherSentences(videos, sentences)

    def labels(self, number):
        """Tokens, labels and clip of example `number`, int64, counted over all epochs."""
        epoch, place = number // self.count, number % self.count
        if self.seed is not None:
            key = tf.stack([self.seed, epoch])
            place = tf.random.experimental.index_shuffle(place, key, self.count - 1)
        clip_number = self._clip_numbers[place]
        clip = clip_records.parse_clip(self._clips[clip_number])
        count = tf.size(clip["sentence/index"])
        order = tf.range(count)
        if self.seed is not None:
            key = tf.stack([self.seed + epoch * 2**32, clip_number])
            order = tf.random.experimental.stateless_shuffle(order, key)
        Q = self.config.queries_per_clip
        places = tf.cast(self._group_numbers[place], tf.int32) * Q + tf.range(Q)
        chosen = tf.gather(order, tf.minimum(places, count - 1))
        real = places < count
        if self.seed is None:
            real &= epoch == 0
        index = self._first_sentences[clip_number] + tf.cast(chosen, tf.int64)
        # For evaluation, from the position in the split alone.
        key = tf.stack([0 if self.seed is None else self.seed + 1, number])
        if self.seed is not None and self.config.temporal_crop:
            clip |= _cropped(clip, chosen, self.config.temporal_crop, key)
        labels = self._sentence_labels(clip, chosen)
        if self.config.blind == "video_only":
            labels["tokens"] = self._tokens_of_others(clip_number, Q, key)
        labels, index = _cleared(labels, real), tf.where(real, index, -1)
        if self.seed is not None and self.config.negative_share:
            drawn = tf.random.stateless_uniform([Q], key + 1) < self.config.negative_share
            negative = drawn | ~real
            labels, index = (
                _cleared(labels, ~negative),
                tf.where(negative, tf.constant(-1, tf.int64), index),
            )
            others = self._tokens_of_others(clip_number, Q, key)
            labels["tokens"] = tf.where(negative[:, None], others, labels["tokens"])
            labels["query_mask"] |= negative
        example = {
            **labels,
            "key": key,
            "index": index,
            "begin": clip["begin"],
            "end": clip["end"],
            "features_file": tf.where(tf.reduce_any(real), clip["features_file"], ""),
        }
        if self.seed is not None and self.config.splice_share:
            example["splice"] = self._splice(clip, clip_number, labels["segment"], key + 2)
        return example

    def _splice(self, clip, clip_number, segments, key):
        """Steps before or after the tubes of an example that another video takes, or none.

        Returns:
            `steps`, int64 `[begin, end)` in the example; `begin`, `end` and `features_file` of the
            other clip.
        """
        num_steps = count_steps(clip["begin"], clip["end"], self.config.max_steps)
        begins, ends = tf.floor(segments[:, 0]), tf.math.ceil(segments[:, 1])
        # Sentences without a tube have an empty segment; each step may be replaced for them.
        empty = segments[:, 0] == segments[:, 1]
        first = tf.reduce_min(tf.where(empty, num_steps, tf.cast(begins, tf.int64)))
        last = tf.reduce_max(tf.cast(ends, tf.int64))
        drawn = tf.random.stateless_uniform([3], key, dtype=tf.float64)
        rooms = tf.stack([first, num_steps - last])
        before, after = tf.unstack(tf.cast(drawn[1] * tf.cast(rooms + 1, tf.float64), tf.int64))
        chosen = tf.where(
            drawn[2] < 0.5, [tf.zeros_like(before), before], [num_steps - after, num_steps]
        )
        is_spliced = drawn[0] < self.config.splice_share

        def other_clip():
            numbers, _ = self._other_sentences.draw(clip_number, 1, key)
            other = clip_records.parse_clip(self._clips[numbers[0]])
            return {name: other[name] for name in ("begin", "end", "features_file")}

        def none():
            nowhere = tf.constant(0, tf.int64)
            return {"begin": nowhere, "end": nowhere, "features_file": tf.constant("")}

        return {
            "steps": tf.where(is_spliced, chosen, tf.zeros_like(chosen)),
            **tf.cond(is_spliced, other_clip, none),
        }

    def _tokens_of_others(self, clip_number, count, key):
        """Tokens of sentences about other videos, `[count, N]`."""
        numbers, places = self._other_sentences.draw(clip_number, count, key)
        texts = [
            clip_records.parse_clip(self._clips[numbers[query]])["sentence/text"][places[query]]
            for query in range(count)
        ]
        return self.tokenizer.tokenize_tensor(tf.stack(texts))

    def _sentence_labels(self, clip, chosen):
        """Tokens and labels of the `chosen` sentences of a clip, `[Q, ...]`."""
        T = self.config.max_steps
        begin, end = clip["begin"], clip["end"]
        num_steps = count_steps(begin, end, T)
        lengths = clip["sentence/segment"][:, 1] - clip["sentence/segment"][:, 0]
        first_rows = tf.gather(tf.cumsum(lengths, exclusive=True), chosen)[:, None]
        segments = tf.gather(clip["sentence/segment"], chosen)
        step = tf.range(T, dtype=tf.int64)
        frames = steps.nearest_frames(step, begin, end, num_steps)
        inside = (frames >= segments[:, :1]) & (frames < segments[:, 1:])
        box_mask = inside & (step < num_steps)
        rows = tf.where(box_mask, first_rows + frames - segments[:, :1], 0)
        # A row to gather if all sentences are absent.
        known_boxes = tf.pad(clip["sentence/boxes"], [[0, 1], [0, 0]])
        size = tf.cast(
            tf.stack([clip["width"], clip["height"], clip["width"], clip["height"]]), tf.float32
        )
        boxes = tf.clip_by_value(tf.gather(known_boxes, rows) / size, 0.0, 1.0)
        begin, end, num_steps = (tf.cast(x, tf.float32) for x in (begin, end, num_steps))
        segment = steps.frames_to_steps(tf.cast(segments, tf.float32), begin, end, num_steps)
        return {
            "tokens": self.tokenizer.tokenize_tensor(tf.gather(clip["sentence/text"], chosen)),
            "boxes": tf.where(box_mask[..., None], boxes, 0.0),
            "box_mask": box_mask,
            "segment": tf.clip_by_value(segment, 0.0, num_steps),
            "query_mask": tf.ones_like(chosen, tf.bool),
        }

    def with_features(self, example):
        """Reads the features; returns `(inputs, labels)` of an example."""
        config = self.config
        labels = dict(example)
        splice = labels.pop("splice", None)
        tokens, begin, end, file, key = (
            labels.pop(name) for name in ("tokens", "begin", "end", "features_file", "key")
        )
        shape = [config.max_steps, config.grid_size, config.grid_size, config.feature_channels]

        def read():
            features, mask = self._read(file, begin, end)
            num_steps = count_steps(begin, end, config.max_steps)
            return blinding.blind_features(config.blind, features, num_steps, key), mask

        def fill():
            return tf.zeros(shape, tf.float16), tf.zeros(shape[:1], tf.bool)

        features, step_mask = tf.cond(file != "", read, fill)
        if splice is not None:
            features = self._spliced(features, splice)
        inputs = {
            "features": tf.ensure_shape(features, shape),
            "step_mask": tf.ensure_shape(step_mask, shape[:1]),
            "tokens": tokens,
        }
        return inputs, labels

    def _read(self, file, begin, end):
        """Features of a clip and its step mask, from a file in the records folder."""
        path = tf.strings.join([self.config.records_dir, os.sep, file])
        return clip_features(path, begin, end, self.config.max_steps)

    def _spliced(self, features, splice):
        """Replaces the steps of `_splice` by the last (before a tube) or first of the other clip.

        The first or last step of a shorter clip is repeated.
        """
        first, last = tf.unstack(splice["steps"])

        def replaced():
            others, mask = self._read(splice["features_file"], splice["begin"], splice["end"])
            count = tf.math.count_nonzero(mask)
            step = tf.range(self.config.max_steps, dtype=tf.int64)
            # A cut at the begin of the example joins the end of the other clip to it.
            of_other = step - first + tf.where(first == 0, count - last, 0)
            others = tf.gather(others, tf.clip_by_value(of_other, 0, count - 1))
            inside = (step >= first) & (step < last)
            return tf.where(inside[:, None, None, None], others, features)

        return tf.cond(first < last, replaced, lambda: features)


def _cropped(clip, chosen, share, key):
    """Random begin and end of a clip, which still contains the segments of the chosen sentences.

    Up to the given share of the frames before the first segment, and of those after the last, is
    left out. An absent sentence keeps the whole clip.
    """
    whole = tf.stack([clip["begin"], clip["end"]])
    segments = tf.gather(clip["sentence/segment"], chosen)
    segments = tf.where(tf.reduce_all(segments == 0, axis=1, keepdims=True), whole, segments)
    first, last = tf.reduce_min(segments[:, 0]), tf.reduce_max(segments[:, 1])
    around = tf.cast(tf.stack([first - whole[0], whole[1] - last]), tf.float32)
    left_out = tf.cast(around * tf.random.stateless_uniform([2], key, maxval=share), tf.int64)
    return {"begin": whole[0] + left_out[0], "end": whole[1] - left_out[1]}


def _as_bytes(records):
    """Yields the elements of a string tensor; copies only some at a time."""
    for first in range(0, len(records), RECORDS_AT_A_TIME):
        yield from records[first : first + RECORDS_AT_A_TIME].numpy().tolist()


def _cleared(labels, real):
    """Sets the labels `[Q, ...]` of padding queries to zero; `real` is bool `[Q]`."""

    def clear(value):
        mask = tf.reshape(real, [-1] + [1] * (value.shape.rank - 1))
        return tf.where(mask, value, tf.zeros([], value.dtype))

    return {name: clear(value) for name, value in labels.items()}
