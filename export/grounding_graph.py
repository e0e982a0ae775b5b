"""TensorFlow graph of the exported SavedModel: text and features or frames in, tubes out.

`export.signatures` describes the inputs and outputs of each signature.
"""

import keras
import tensorflow as tf

from gkcmn_tf.modeling import decoding
from gkcmn_tf.text import tokenization
from gkcmn_tf.trained_model import TrainedModel
from gkcmn_tf.video import reading, steps
from gkcmn_tf.video.windows import (
    WINDOW_FRAMES,
    WINDOW_LEAD,
    WINDOW_STRIDE,
    frame_windows,
    windows_in,
)

from . import signatures

# Windows per I3D batch, and sentences (of all clips) per piece of a request: limits of the memory.
WINDOW_BATCH = 8
SENTENCE_BATCH = 16
SHOWN_CHARACTERS = 100  # of a refused sentence
SMALLEST_SIDE = 16  # pixels of a frame; features take 200 kB per window, however small frames are
WEIGHTS_DTYPES = ("float32", "bfloat16")


class GroundingGraph:
    """A trained model and its I3D, with the signatures of `export.signatures` as methods.

    Attributes:
        kept: module to save: copies of the weights and the vocabulary. Copies are needed because
            TensorFlow does not track layers that a Keras layer stores in a list or dictionary.

    Args:
        trained: the trained model.
        i3d: I3D model, maps `[J, 8, 224, 224, 3]` in [-1, 1] to `[J, 1, S, S, C]`.
        weights: storage type of the weights. `bfloat16` halves the size of kernels and embeddings;
            the compute precision is unchanged.
        top_k: number of tubes per sentence, `K`.
        max_frames: maximum number of frames of a video, for `encode_video` of all videos of a
            request, each padded to the longest.
        max_clips: maximum number of clips or videos of a request.
        max_sentences: maximum number of sentences of a request, over all its clips.

    Raises:
        ValueError: `weights`, `top_k`, `max_frames`, `max_clips` or `max_sentences` is
            invalid.
    """

    def __init__(
        self,
        trained: TrainedModel,
        i3d: keras.Model,
        *,
        weights: str = "float32",
        top_k: int = 5,
        max_frames: int = 20_000,
        max_clips: int = 32,
        max_sentences: int = 1_000,
    ):
        if weights not in WEIGHTS_DTYPES:
            raise ValueError(f"weights: expected one of {WEIGHTS_DTYPES}, got {weights!r}")
        for name, value in (
            ("top_k", top_k),
            ("max_frames", max_frames),
            ("max_clips", max_clips),
            ("max_sentences", max_sentences),
        ):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        self._model = trained.model
        self._tokenize = trained.tokenizer.tokenize_tensor
        self._i3d = i3d
        self._top_k = top_k
        self._max_frames = max_frames
        self._max_clips = max_clips
        self._max_sentences = max_sentences
        self._trained_fps = trained.features.get("fps")
        stored = trained.features.get("storage_dtype")
        self._storage = tf.bfloat16 if stored == "bfloat16" else tf.float16
        self._max_steps = trained.max_steps
        self._grid = tuple(trained.features["shape"])
        self._keras_variables = trained.model.weights + i3d.weights
        self.kept = tf.Module(name="gkcmn")
        self.kept.words = trained.tokenizer.layer
        self.kept.weights = [_copy(variable, weights) for variable in self._keras_variables]

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Returns the concrete functions by signature name, for `tf.saved_model.save`."""
        methods = {
            "serving_default": self.ground_sentence,
            "ground_features": self.ground_features,
            "ground_video": self.ground_video,
            "encode_video": self.encode_video,
            "ground_steps": self.ground_steps,
            "encode_windows": self.encode_windows,
        }
        specified = signatures.signatures(self._grid, self._max_steps, self._top_k)
        return {
            name: tf.function(methods[name]).get_concrete_function(
                **{key: tf.TensorSpec(s.shape, s.dtype, key) for key, s in signature.inputs.items()}
            )
            for name, signature in specified.items()
        }

    def ground_sentence(self, features, begin, end, fps, width, height, sentence):
        """Implements the signature `serving_default`."""
        found = self.ground_features(
            features, begin, end, fps, width, height, tf.expand_dims(sentence, 1)
        )
        return {name: tf.squeeze(value, 1) for name, value in found.items()}

    def ground_features(self, features, begin, end, fps, width, height, sentences):
        """Implements the signature `ground_features`."""
        begin, end = tf.cast(begin, tf.int64), tf.cast(end, tf.int64)
        windows = tf.shape(features, tf.int64)[1]
        checks = [
            *self._check_batch(features, begin, end, fps, width, height, sentences),
            *self._check_clip(begin, end),
            _check(
                windows_in(end) <= windows,
                "features: too few windows for `end`: expected one for every 4 frames; windows and "
                "end are",
                windows,
                end,
            ),
        ]
        with tf.control_dependencies(checks):
            features, begin, end = map(tf.identity, (features, begin, end))
        frames, _ = self._steps(begin, end)
        seen = tf.gather(features, frame_windows(frames), batch_dims=1)
        return self._ground_seen(seen, begin, end, fps, width, height, sentences)

    def ground_steps(self, features, begin, end, fps, width, height, sentences):
        """Implements the signature `ground_steps`."""
        begin, end = tf.cast(begin, tf.int64), tf.cast(end, tf.int64)
        checks = [
            *self._check_batch(features, begin, end, fps, width, height, sentences),
            *self._check_clip(begin, end),
        ]
        with tf.control_dependencies(checks):
            features, begin, end = map(tf.identity, (features, begin, end))
        return self._ground_seen(features, begin, end, fps, width, height, sentences)

    def _ground_seen(self, seen, begin, end, fps, width, height, sentences):
        """Grounds sentences, given unchecked features of each step, `[B, T, S, S, C]`."""
        _, step_mask = self._steps(begin, end)
        seen = tf.where(step_mask[..., None, None, None], seen, 0.0)
        checks = [
            *self._check_picture(fps, width, height, smallest=1),
            *self._check_sentences(sentences),
            # Larger ones cannot be stored, and overflow in the network.
            _check(
                tf.abs(seen) <= tf.float16.max,
                f"features: expected finite numbers, at most {tf.float16.max:g} as in float16, "
                "found NaN, infinity or a larger number",
            ),
        ]
        with tf.control_dependencies(checks):
            seen = tf.identity(seen)
        with self._trained_weights():
            return self._ground(seen, step_mask, begin, end, fps, width, height, sentences)

    def ground_video(self, frames, frame_count, fps, width, height, sentence):
        """Implements the signature `ground_video`; encodes only the windows used by model steps."""
        checks = [
            *self._check_batch(frames, frame_count, fps, width, height, sentence),
            *self._check_frames(frames, frame_count),
            *self._check_picture(fps, width, height, smallest=0),
            *self._check_sentences(sentence),
        ]
        with tf.control_dependencies(checks):
            frames, end = tf.identity(frames), tf.cast(frame_count, tf.int64)
        own_height, own_width = tf.shape(frames)[2], tf.shape(frames)[3]
        width = tf.where(width == 0, own_width, width)
        height = tf.where(height == 0, own_height, height)
        begin = tf.zeros_like(end)
        seen_frames, step_mask = self._steps(begin, end)
        places = tf.where(step_mask)
        windows = frame_windows(tf.gather_nd(seen_frames, places))
        with self._trained_weights():
            encoded = self._encode(frames, end, places[:, 0], windows)
            shape = tf.concat([tf.shape(step_mask, tf.int64), self._grid], axis=0)
            seen = tf.ensure_shape(
                tf.scatter_nd(places, encoded, shape), [None, self._max_steps, *self._grid]
            )
            found = self._ground(
                seen, step_mask, begin, end, fps, width, height, tf.expand_dims(sentence, 1)
            )
        return {name: tf.squeeze(value, 1) for name, value in found.items()}

    def encode_video(self, frames, frame_count):
        """Implements the signature `encode_video`."""
        checks = [
            *self._check_batch(frames, frame_count),
            *self._check_frames(frames, frame_count),
            _check(
                tf.size(frame_count) * tf.reduce_max(frame_count) <= self._max_frames,
                f"frame_count: expected at most {self._max_frames} frames in a request "
                "(--max_frames of the export), all videos padded to the longest, got",
                frame_count,
            ),
        ]
        with tf.control_dependencies(checks):
            frames, frame_count = tf.identity(frames), tf.cast(frame_count, tf.int64)
        windows = windows_in(frame_count)
        places = tf.where(tf.sequence_mask(windows))
        with self._trained_weights():
            encoded = self._encode(frames, frame_count, places[:, 0], places[:, 1])
        shape = [tf.size(windows, tf.int64), tf.reduce_max(windows), *self._grid]
        return {"features": tf.scatter_nd(places, encoded, shape)}

    def encode_windows(self, windows):
        """Implements the signature `encode_windows`."""
        B, W, _, H, width = (tf.shape(windows, tf.int64)[axis] for axis in range(5))
        checks = [
            _check(B > 0, "windows: expected at least one row"),
            _check(
                (W > 0) & (self._max_frames >= B * W * WINDOW_FRAMES),
                f"windows: expected 1 window or more, and at most {self._max_frames} frames in a "
                "request (--max_frames of the export); rows and windows are",
                B,
                W,
            ),
            *self._check_size(H, width),
        ]
        with tf.control_dependencies(checks):
            clips = tf.reshape(windows, [-1, WINDOW_FRAMES, H, width, 3])

        def clips_of(batch):
            shown = clips[batch]
            resized = _resized(tf.reshape(shown, [-1, H, width, 3]))
            return tf.reshape(resized, [-1, WINDOW_FRAMES, *resized.shape[1:]])

        with self._trained_weights():
            encoded = self._encode_batches(B * W, clips_of)
        return {"features": tf.reshape(encoded, [B, W, *self._grid])}

    def _trained_weights(self):
        """Returns the scope in which Keras layers use the weights in `kept`."""
        values = [
            (theirs, tf.cast(ours, theirs.dtype))
            for theirs, ours in zip(self._keras_variables, self.kept.weights, strict=True)
        ]
        return keras.StatelessScope(values)

    def _steps(self, begin, end):
        """Returns the frame nearest each step, int64 `[B, T]`, and a mask of valid steps."""
        num_steps = tf.minimum(windows_in(end - begin), self._max_steps)
        step = tf.range(self._max_steps, dtype=tf.int64)
        begin, end, num_steps = begin[:, None], end[:, None], num_steps[:, None]
        valid = step < num_steps
        frames = steps.nearest_frames(step, begin, end, num_steps)
        return tf.where(valid, frames, begin), valid

    def _encode(self, frames, frame_count, videos, windows):
        """Returns features float32 `[J, S, S, C]` of windows `windows` `[J]` of `videos` `[J]`."""
        F, H, W = (tf.shape(frames, tf.int64)[axis] for axis in (1, 2, 3))
        pictures = tf.reshape(frames, [-1, H, W, 3])

        def clips_of(batch):
            of_video, first = videos[batch][:, None], windows[batch][:, None]
            first = WINDOW_STRIDE * first - WINDOW_LEAD
            seen = first + tf.range(WINDOW_FRAMES, dtype=tf.int64)
            last = tf.gather(frame_count, of_video) - 1
            seen = tf.minimum(tf.maximum(seen, 0), last) + of_video * F
            # Windows overlap; resize each frame only once.
            needed, places = tf.unique(tf.reshape(seen, [-1]))
            resized = _resized(tf.gather(pictures, needed))
            return tf.reshape(tf.gather(resized, places), [-1, WINDOW_FRAMES, *resized.shape[1:]])

        return self._encode_batches(tf.size(windows, tf.int64), clips_of)

    def _encode_batches(self, num_windows, clips_of):
        """Returns features float32 `[J, S, S, C]`.

        Args:
            num_windows: `J`.
            clips_of: returns the frames `[j, 8, 224, 224, 3]` in [-1, 1] of a slice of windows.
        """
        encoded = tf.TensorArray(
            tf.float16,
            size=tf.cast(-(-num_windows // WINDOW_BATCH), tf.int32),
            element_shape=[None, *self._grid],
            infer_shape=False,
        )

        def encode_batch(number, encoded):
            clips = clips_of(slice(number * WINDOW_BATCH, (number + 1) * WINDOW_BATCH))
            features = self._i3d(clips, training=False)[:, 0]
            # Round to the storage type of training, except int8, which needs the whole video.
            features = tf.cast(tf.ensure_shape(features, [None, *self._grid]), tf.float16)
            features = tf.cast(tf.cast(features, self._storage), tf.float16)
            return number + 1, encoded.write(tf.cast(number, tf.int32), features)

        _, encoded = tf.while_loop(
            lambda number, _: number * WINDOW_BATCH < num_windows,
            encode_batch,
            (tf.constant(0, tf.int64), encoded),
            parallel_iterations=1,
        )
        return tf.cast(encoded.concat(), tf.float32)

    def _ground(self, features, step_mask, begin, end, fps, width, height, sentences):
        """Returns tubes of `sentences` `[B, Q]`, given features of each step `[B, T, S, S, C]`."""
        tokens = self._tokenize(sentences)
        video = self._model.encode(features, step_mask)

        def ground(tokens):
            inputs = {"features": features, "step_mask": step_mask, "tokens": tokens}
            return self._ground_piece(video, inputs, begin, end, width, height)

        single = sentences.shape[1] == 1
        frames, scores, boxes = ground(tokens) if single else self._in_pieces(ground, tokens)
        seconds = tf.cast(frames, tf.float32) / fps[:, None, None, None]
        tubes = {
            "segment_frames": frames[:, :, 0],
            "segment_seconds": seconds[:, :, 0],
            "score": scores[:, :, 0],
            "boxes": boxes,
            "top_segments_frames": frames,
            "top_segments_seconds": seconds,
            "top_scores": scores,
            "unknown_words": tf.math.count_nonzero(
                tokens == tokenization.UNKNOWN_TOKEN, axis=-1, dtype=tf.int32
            ),
        }
        return {name: tf.identity(value, name) for name, value in tubes.items()}

    def _ground_piece(self, video, inputs, begin, end, width, height):
        """Returns frames `[B, q, K, 2]`, scores `[B, q, K]` and boxes `[B, q, F, 4]` in pixels."""
        step_mask = inputs["step_mask"]
        outputs = self._model.ground(video, inputs)
        segments, scores = self._model.segments(inputs, outputs)
        # Compared in frames, since different segments may round to the same frames.
        frames, scores = decoding.distinct_segments(
            tf.cast(_nearest_frames(segments, begin, end, step_mask), tf.float32),
            scores,
            count=self._top_k,
            max_iou=decoding.MAX_TUBE_IOU,
        )
        boxes = _frame_boxes(
            self._model.decode(inputs, outputs)["boxes"], begin, end, self._steps(begin, end)
        )
        size = tf.cast(tf.stack([width, height, width, height], axis=-1), tf.float64)
        pixels = tf.cast(boxes * size[:, None, None], tf.float32)
        return tf.cast(frames, tf.int32), tf.maximum(scores, 0.0), pixels

    def _in_pieces(self, ground, tokens):
        """Applies `ground` to a few sentences of tokens `[B, Q, N]` at a time."""
        size = tf.maximum(SENTENCE_BATCH // tf.shape(tokens)[0], 1)
        count = -(-tf.shape(tokens)[1] // size)
        arrays = tuple(
            tf.TensorArray(dtype, count, element_shape=[None, None, *shape], infer_shape=False)
            for dtype, shape in (
                (tf.int32, [self._top_k, 2]),
                (tf.float32, [self._top_k]),
                (tf.float32, [None, 4]),
            )
        )

        def swapped(tensor):
            return tf.transpose(tensor, [1, 0, *range(2, tensor.shape.rank)])

        def add(number, arrays):
            results = ground(tokens[:, number * size : (number + 1) * size])
            return number + 1, tuple(
                array.write(number, swapped(result))
                for array, result in zip(arrays, results, strict=True)
            )

        _, arrays = tf.while_loop(
            lambda number, _: number < count, add, (tf.constant(0), arrays), parallel_iterations=1
        )
        return tuple(swapped(array.concat()) for array in arrays)

    def _check_batch(self, first, *others):
        """Checks that all inputs have the same batch size, at least 1."""
        sizes = [tf.shape(tensor)[0] for tensor in (first, *others)]
        message = "inputs: expected the same batch size of at least 1; the batch sizes are"
        yield _check(tf.equal(sizes, tf.maximum(sizes[0], 1)), message, tf.stack(sizes))
        yield _check(
            sizes[0] <= self._max_clips,
            f"inputs: expected at most {self._max_clips} clips in a request (--max_clips of the "
            "export), got",
            sizes[0],
        )

    def _check_picture(self, fps, width, height, *, smallest):
        yield _check(
            (fps > 0) & tf.math.is_finite(fps),
            "fps: expected frames per second, more than 0, got",
            fps,
        )
        if self._trained_fps is not None:
            yield _check(
                tf.abs(fps - self._trained_fps) < 1e-3,
                "fps: this model was trained on videos resampled to "
                f"{self._trained_fps:g} frames per second; resample the frames to this fps; got",
                fps,
            )
        yield _check(
            (width >= smallest) & (height >= smallest),
            f"width, height: expected at least {smallest} pixels, got",
            width,
            height,
        )

    def _check_sentences(self, sentences):
        if sentences.shape.rank == 2:
            yield _check(tf.shape(sentences)[1] > 0, "sentences: expected at least one per clip")
        yield _check(
            tf.size(sentences) <= self._max_sentences,
            f"sentences: expected at most {self._max_sentences} in a request (--max_sentences of "
            "the export), got",
            tf.size(sentences),
        )
        # Messages are text in UTF-8.
        valid = tf.strings.unicode_transcode(sentences, "UTF-8", "UTF-8")
        yield _check(
            tf.reduce_any(self._tokenize(sentences) != 0, axis=-1),
            "sentence: contains no word; describe an object and what it does; got",
            tf.strings.substr(valid, 0, SHOWN_CHARACTERS, unit="UTF8_CHAR"),
        )

    def _check_clip(self, begin, end):
        yield _check(
            (begin >= 0) & (begin < end) & (end <= self._max_frames),
            "begin, end: expected 0 <= begin < end, and at most "
            f"{self._max_frames} frames (--max_frames of the export); begin and end are",
            begin,
            end,
        )

    def _check_size(self, height, width):
        yield _check(
            (height >= SMALLEST_SIDE) & (width >= SMALLEST_SIDE),
            f"frames: expected at least {SMALLEST_SIDE}x{SMALLEST_SIDE} pixels, got size",
            height,
            width,
        )

    def _check_frames(self, frames, frame_count):
        F, H, W = (tf.shape(frames)[axis] for axis in (1, 2, 3))
        yield from self._check_size(H, W)
        yield _check(
            (frame_count >= 1) & (frame_count <= tf.minimum(F, self._max_frames)),
            f"frame_count: expected 1 to {self._max_frames} frames (--max_frames of the export), "
            "and at most the length of `frames`; the length and frame_count are",
            F,
            frame_count,
        )


def _resized(pictures):
    """Resizes uint8 frames `[n, H, W, 3]` to those of I3D, float32 in [-1, 1]."""
    size = (reading.FRAME_SIZE, reading.FRAME_SIZE)
    resized = tf.image.resize(pictures, size, antialias=True)
    # Round to integers, as in training.
    return tf.clip_by_value(tf.round(resized), 0, 255) / 127.5 - 1.0


def _copy(variable, weights):
    """Copies a variable; only float32 matrices and kernels are converted to `weights`."""
    dtype = weights if len(variable.shape) > 1 else variable.dtype
    dtype = variable.dtype if variable.dtype != "float32" else dtype
    return tf.Variable(tf.cast(variable.value, dtype), trainable=False, name=variable.path)


def _check(condition, message, *values):
    return tf.debugging.Assert(tf.reduce_all(condition), [message, *values], summarize=8)


def _nearest_frames(segments, begin, end, step_mask):
    """Converts segments `[B, Q, K, 2]` from steps to frames int64, as `tubes.tube_from_steps`."""
    num_steps = tf.reduce_sum(tf.cast(step_mask, tf.float64), axis=-1)[:, None, None, None]
    begin, end = begin[:, None, None, None], end[:, None, None, None]
    times = steps.steps_to_frames(
        tf.cast(segments, tf.float64),
        tf.cast(begin, tf.float64),
        tf.cast(end, tf.float64),
        num_steps,
    )
    nearest = tf.clip_by_value(tf.cast(tf.floor(times + 0.5), tf.int64), begin, end)
    first, stop = nearest[..., :1], nearest[..., 1:]
    middle = tf.cast(tf.floor(tf.reduce_mean(times, axis=-1, keepdims=True)), tf.int64)
    middle = tf.clip_by_value(middle, begin, end - 1)
    empty = stop <= first
    first = tf.where(empty, middle, first)
    return tf.concat([first, tf.where(empty, middle + 1, stop)], axis=-1)


def _frame_boxes(boxes, begin, end, step_frames):
    """Interpolates the boxes of steps to every frame of a clip, as `tubes.tube_from_steps`.

    The NumPy equivalent is `gkcmn_tf.video.box_interpolation`.

    Args:
        boxes: normalised boxes `[B, Q, T, 4]`.
        begin: first frame of each clip, `[B]`.
        end: end frame (exclusive) of each clip, `[B]`.
        step_frames: frame of each step and mask of valid steps, both `[B, T]`.

    Returns:
        Normalised boxes, float64 `[B, Q, F, 4]`.
    """
    anchors, valid = step_frames
    beyond = tf.int64.max
    anchors = tf.where(valid, anchors, beyond)
    row = tf.range(tf.reduce_max(end - begin))
    wanted = begin[:, None] + row
    right = tf.searchsorted(anchors, wanted, side="right", out_type=tf.int64)
    last = tf.reduce_sum(tf.cast(valid, tf.int64), axis=-1, keepdims=True) - 1
    left = tf.minimum(tf.maximum(right - 1, 0), last)
    right = tf.minimum(right, last)
    at_left = tf.gather(anchors, left, batch_dims=1)
    gap = tf.gather(anchors, right, batch_dims=1) - at_left
    share = tf.cast(wanted - at_left, tf.float64) / tf.cast(tf.maximum(gap, 1), tf.float64)
    share = tf.where(gap > 0, share, 0.0)[:, None, :, None]
    boxes = tf.cast(boxes, tf.float64)
    Q = tf.shape(boxes)[1]
    left, right = (tf.repeat(x[:, None], Q, axis=1) for x in (left, right))
    before = tf.gather(boxes, left, batch_dims=2)
    after = tf.gather(boxes, right, batch_dims=2)
    inside = (row < (end - begin)[:, None])[:, None, :, None]
    return tf.where(inside, before + share * (after - before), 0.0)
