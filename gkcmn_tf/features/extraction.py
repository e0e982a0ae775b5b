"""Extraction of the features of a video; all features are made here.

Both `data.prepare` and `VideoGrounder.encode` use this module, so inference uses the same features
as training. The settings that affect the features are called their *fingerprint*; it is stored with
the records and with a trained model.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from gkcmn_tf.encoded_video import EncodedVideo, encode_windows, finite_features
from gkcmn_tf.features import quantization
from gkcmn_tf.features.feature_records import VideoFeatures
from gkcmn_tf.i3d import weight_sources
from gkcmn_tf.i3d.loading import i3d_from_variables
from gkcmn_tf.video import frame_rates, reading
from gkcmn_tf.video.windows import (
    WINDOW_FRAMES,
    WINDOW_STRIDE,
    decoded_ahead,
    window_batches,
    windows_in,
)

ENDPOINT = "Mixed_5c"
SHAPE = (7, 7, 1024)  # of a window's features at ENDPOINT, for frames of reading.FRAME_SIZE pixels
COMPUTE_DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class ExtractedFeatures(VideoFeatures):
    """Features as extracted, with the frame times of their file.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.features.extraction import ExtractedFeatures
        >>> from gkcmn_tf.video.frame_rates import SourceVideo, Timeline
        >>> from gkcmn_tf.video.reading import VideoInfo
        >>> source = SourceVideo("park.mp4", 640, 360, 25.0, Timeline(np.arange(8) / 25, 8 / 25))
        >>> features = np.ones([2, 7, 7, 1024], np.float16)
        >>> video = ExtractedFeatures(
        ...     *("park", 25.0, 640, 360, 8, features),
        ...     source=source,
        ...     declared=VideoInfo(640, 360, 25.0, 8),
        ...     is_hdr=False,
        ...     notices=[],
        ... )
        >>> video.timeline.frame_count, video.features.shape
        (8, (2, 7, 7, 1024))

    Attributes:
        source: the file and the times of its frames; after resampling, `frame_count` and `fps` are
            those of the resampled frames.
        declared: properties that the file declares.
        is_hdr: whether the video has a high dynamic range, which is decoded as if it were standard.
        notices: differences between what the file declares and what it contains.
    """

    source: frame_rates.SourceVideo
    declared: reading.VideoInfo
    is_hdr: bool
    notices: list[str]

    @property
    def timeline(self) -> frame_rates.Timeline:
        """Times of the frames of the file."""
        return self.source.timeline


def differences(before: dict, now: dict) -> list[str]:
    """Fields in which two fingerprints differ, except the location of the I3D weights."""
    return sorted(
        key
        for key in before.keys() | now.keys()
        if key != "i3d_source" and before.get(key) != now.get(key)
    )


@dataclasses.dataclass(frozen=True)
class ExtractorFactory:
    """Builds a `FeatureExtractor` from I3D weights; gives its fingerprint without building it.

    The weights are read once, when the fingerprint or the extractor is first needed. A pickled
    factory does not contain them.

    Example:
        >>> from gkcmn_tf.features.extraction import ExtractorFactory
        >>> make_extractor = ExtractorFactory("random:0", fps=5, storage_dtype="int8")
        >>> make_extractor.fps, make_extractor.batch_size  # no weights are read yet
        (5, 4)

    Args:
        i3d_weights: any source that `gkcmn_tf.i3d.load_i3d` accepts.
        compute_dtype: dtype of I3D's computations, one of `COMPUTE_DTYPES`.
        fps: frame rate to resample videos to; None uses every frame.
        storage_dtype: dtype of stored features, one of `quantization.STORAGE_DTYPES`.
        batch_size: windows per batch.

    Raises:
        ValueError: `fps` is not positive, or a dtype is unknown.
    """

    i3d_weights: str
    _: dataclasses.KW_ONLY
    compute_dtype: str = "float32"
    fps: float | None = None
    storage_dtype: str = "float16"
    batch_size: int = 4

    def __post_init__(self):
        """Checks the settings."""
        if self.compute_dtype not in COMPUTE_DTYPES:
            raise ValueError(
                f"compute_dtype: expected one of {', '.join(COMPUTE_DTYPES)}; got "
                f"{self.compute_dtype!r}"
            )
        _check_settings(self.fps, self.storage_dtype)

    def __getstate__(self):
        """The settings, without the weights."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @functools.cached_property
    def _variables(self):
        return weight_sources.read_variables(self.i3d_weights)

    @functools.cached_property
    def fingerprint(self) -> dict:
        """The fingerprint of the extractor; raises as `gkcmn_tf.i3d.load_i3d`."""
        return _fingerprint(
            {
                "source": self.i3d_weights,
                "sha256": weight_sources.fingerprint(self._variables),
            },
            compute_dtype=self.compute_dtype,
            fps=self.fps,
            storage_dtype=self.storage_dtype,
            shape=SHAPE,
        )

    def __call__(self) -> "FeatureExtractor":
        """Builds the network.

        Raises:
            ValueError: the shape of the features differs from the fingerprint.
        """
        extractor = FeatureExtractor(
            i3d_from_variables(
                self._variables, self.i3d_weights, ENDPOINT, dtype=self.compute_dtype
            ),
            {"source": self.i3d_weights, "sha256": self.fingerprint["i3d_sha256"]},
            compute_dtype=self.compute_dtype,
            fps=self.fps,
            storage_dtype=self.storage_dtype,
            batch_size=self.batch_size,
        )
        if changed := differences(self.fingerprint, extractor.fingerprint):
            raise ValueError(
                f"{self.i3d_weights}: the network's features differ from its fingerprint in "
                f"{changed}: expected {self.fingerprint}, got {extractor.fingerprint}"
            )
        return extractor


class FeatureExtractor:
    """Extracts the features of videos: I3D on windows of 8 frames, one every 4 frames.

    I3D gets batches of one shape, so it is compiled once, and the features of a window do not
    depend on the other windows of its batch.

    Example:
        >>> import keras
        >>> from gkcmn_tf import samples
        >>> from gkcmn_tf.features.extraction import FeatureExtractor
        >>> # A pooling layer in place of I3D: one step per window of 8 frames, 7x7 cells.
        >>> windows = keras.Input([8, 224, 224, 3])
        >>> network = keras.Model(windows, keras.layers.AveragePooling3D((8, 32, 32))(windows))
        >>> extractor = FeatureExtractor(network, {"source": "pooling", "sha256": ""})
        >>> video = extractor.extract(samples()[0].video)
        >>> video.frame_count, video.features.shape
        (48, (12, 7, 7, 3))

    Attributes:
        fingerprint: the settings that affect the features; JSON.
        i3d: the network.
    """

    def __init__(
        self,
        i3d: keras.Model,
        weights: dict,
        *,
        compute_dtype: str = "float32",
        fps: float | None = None,
        storage_dtype: str = "float16",
        batch_size: int = 4,
    ):
        """Wraps a network.

        Args:
            i3d: maps `[B, 8, 224, 224, 3]` in `[-1, 1]` to `[B, 1, h, w, C]`.
            weights: `source` and `sha256` of its weights, for the fingerprint.
            compute_dtype: dtype of its computations, for the fingerprint.
            fps: frame rate to resample videos to; None uses every frame.
            storage_dtype: dtype of stored features, one of `quantization.STORAGE_DTYPES`.
            batch_size: windows per batch.

        Raises:
            ValueError: the network gives more than one time step per window, `fps` is not positive,
                or the storage dtype is unknown.
        """
        _check_settings(fps, storage_dtype)
        self.i3d = i3d
        self._storage_dtype = storage_dtype
        self._fps = fps
        self._batch_size = batch_size
        size = reading.FRAME_SIZE
        self._compute = tf.function(self._compute_batch, autograph=False).get_concrete_function(
            tf.TensorSpec([None, size, size, 3], tf.uint8),
            tf.TensorSpec([batch_size, WINDOW_FRAMES], tf.int32),
        )
        self.fingerprint = _fingerprint(
            weights,
            compute_dtype=compute_dtype,
            fps=fps,
            storage_dtype=storage_dtype,
            shape=self._compute.structured_outputs.shape[1:].as_list(),
        )

    @classmethod
    def from_source(cls, source: str, **settings) -> "FeatureExtractor":
        """An extractor with the I3D weights of `source`; see `ExtractorFactory`."""
        return ExtractorFactory(source, **settings)()

    @classmethod
    def from_fingerprint(cls, trained: dict, source: str | None = None) -> "FeatureExtractor":
        """The extractor of the features that a model was trained on.

        Args:
            trained: the fingerprint saved with the model.
            source: location of the I3D weights, if it has changed.

        Raises:
            ValueError: the weights, or the settings of features, differ from those of training.
        """
        factory = ExtractorFactory(
            source or weight_sources.source_here(trained["i3d_source"], trained["i3d_sha256"]),
            compute_dtype=trained["compute_dtype"],
            fps=trained.get("fps"),
            storage_dtype=trained.get("storage_dtype", "float16"),
        )
        if changed := differences(trained, factory.fingerprint):
            raise ValueError(
                "features would differ from those that the model was trained on, in "
                f"{', '.join(changed)}: trained on {trained}, now {factory.fingerprint}"
            )
        return factory()

    def _compute_batch(self, frames, windows):
        # Each frame is copied to the device once, as uint8, and scaled there.
        scaled = tf.cast(frames, tf.float32) / 127.5 - 1.0
        features = self.i3d(tf.gather(scaled, windows), training=False)
        if features.shape.rank != 5 or features.shape[1] != 1:
            raise ValueError(
                f"the network gives {features.shape} for a batch of windows, expected "
                f"[{self._batch_size}, 1, h, w, C]"
            )
        return tf.cast(features[:, 0], tf.float16)

    def encode(
        self,
        path: str,
        windows_of: Callable[[frame_rates.Timeline], Sequence[int]],
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> EncodedVideo:
        """Encodes some windows of a video; arguments and errors as `encode_windows`."""

        def compute(frames, windows):
            missing = self._batch_size - len(windows)
            filled = np.pad(windows, ((0, missing), (0, 0)), mode="edge")
            return self._compute(tf.constant(frames), tf.constant(filled)).numpy()[: len(windows)]

        return encode_windows(
            path,
            compute,
            windows_of,
            self.fingerprint,
            batch_size=self._batch_size,
            on_progress=on_progress,
        )

    def extract(
        self,
        path: str,
        video_id: str | None = None,
        *,
        mirrored: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> ExtractedFeatures:
        """Extracts the features of a whole video; memory contains at most two batches of frames.

        Args:
            path: video file.
            video_id: id of the video; default: the file name without suffix.
            mirrored: whether every frame is flipped horizontally.
            on_progress: called after each batch with the windows done and their total, 0 if the
                file does not say how many frames it has.

        Returns:
            float16 features `[windows, h, w, C]`, not yet rounded for storage (see `as_stored`), of
            all frames or of the resampled ones, which `frame_count` and `fps` refer to. If the file
            is damaged, a warning is logged and only the frames that can be decoded are used.

        Raises:
            FileNotFoundError: no such file.
            video.VideoError: no frame can be decoded, or resampling fails on its time stamps.
            ValueError: a feature is not a finite number.
        """
        stream = reading.decode_frames(path, fps=self._fps, mirrored=mirrored)
        batches = window_batches(stream, self._batch_size)
        features, done = [], 0
        total = 0 if self._fps else windows_in(stream.info.declared_frames)
        for frames, windows, real in decoded_ahead(batches):
            computed = self._compute(tf.constant(frames), tf.constant(windows))
            features.append(computed.numpy()[:real])
            done += real
            if on_progress is not None:
                on_progress(done, total)
        for message in filter(None, [stream.damage, *stream.notices]):
            logging.warning("%s: %s", path, message)
        return ExtractedFeatures(
            video_id=pathlib.Path(path).stem if video_id is None else video_id,
            fps=stream.fps,
            width=stream.info.width,
            height=stream.info.height,
            frame_count=stream.count,
            features=finite_features(np.concatenate(features), path),
            storage_dtype=self._storage_dtype,
            source=stream.source,
            declared=stream.info,
            is_hdr=stream.is_hdr,
            notices=stream.notices,
        )


def _check_settings(fps, storage_dtype):
    if fps is not None:
        frame_rates.as_rate(fps)
    if storage_dtype not in quantization.STORAGE_DTYPES:
        raise ValueError(
            f"storage_dtype: expected one of {', '.join(quantization.STORAGE_DTYPES)}; got "
            f"{storage_dtype!r}"
        )


def _fingerprint(weights, *, compute_dtype, fps, storage_dtype, shape):
    return {
        "i3d_source": weights["source"],
        "i3d_sha256": weights["sha256"],
        "endpoint": ENDPOINT,
        "compute_dtype": compute_dtype,
        "window_frames": WINDOW_FRAMES,
        "window_stride": WINDOW_STRIDE,
        "frame_size": reading.FRAME_SIZE,
        "resize": reading.RESIZE,
        "fps": fps,
        "storage_dtype": storage_dtype,
        "shape": list(shape),
    }
