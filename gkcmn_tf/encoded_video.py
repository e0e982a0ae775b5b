"""Encoded videos: I3D features that can be reused for several queries.

A long video has far more feature windows than a model has steps. Only the windows that the steps of
the searched clips use are decoded and encoded, so an hour needs no more of I3D than a minute.
"""

import dataclasses
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from absl import logging

from gkcmn_tf.features.quantization import as_stored
from gkcmn_tf.files import whole_file
from gkcmn_tf.json_fields import is_number
from gkcmn_tf.video import reading, steps
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline
from gkcmn_tf.video.packet_index import IndexMismatchError
from gkcmn_tf.video.windows import (
    count_windows,
    decoded_ahead,
    selected_window_batches,
    window_frames,
)

_FORMAT = 3
_ARRAYS = {
    "features": np.float16,
    "windows": np.int64,
    "times": np.float64,
    "source_frames": np.int64,
}


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedVideo:
    """I3D features of a video, with the size and frame times of the file.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.encoded_video import EncodedVideo
        >>> from gkcmn_tf.video.frame_rates import SourceVideo, Timeline
        >>> source = SourceVideo("clip.mp4", 640, 360, 25.0, Timeline(np.arange(8) / 25, 0.32))
        >>> features = np.zeros([2, 7, 7, 1024], np.float16)
        >>> video = EncodedVideo(features, np.arange(2), source, {"fps": None})
        >>> video
        EncodedVideo('clip.mp4', 640x360, 8 frames, 0.32 s, 2 of 2 windows)

    Attributes:
        features: float16 `[n, S, S, C]`, rounded to the storage dtype of the training data.
        windows: int64 `[n]`, the windows of the video that these are, in ascending order.
        source: description of the video file.
        fingerprint: settings of the feature extraction.
    """

    features: np.ndarray
    windows: np.ndarray
    source: SourceVideo
    fingerprint: dict

    def __repr__(self):
        source = self.source
        return (
            f"EncodedVideo({source.path!r}, {source.width}x{source.height}, "
            f"{source.timeline.frame_count} frames, {source.timeline.end_time:.2f} s, "
            f"{len(self.windows)} of {count_windows(source.timeline.sample_count)} windows)"
        )

    def clip_inputs(self, begin: int, end: int, max_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Selects the features of the steps of a clip.

        Args:
            begin: first (resampled) frame of the clip.
            end: end frame (exclusive) of the clip.
            max_steps: `T`, number of steps after padding.

        Returns:
            features `[T, S, S, C]`, padded with zeros after the `T'` steps of the clip, and the
            step mask, bool `[T]`, True at valid steps.

        Raises:
            ValueError: a window of the clip is not encoded.
        """
        wanted = steps.step_windows(begin, end, max_steps)
        rows = np.searchsorted(self.windows, wanted)
        if rows[-1] == len(self.windows) or (self.windows[rows] != wanted).any():
            first, last = self.source.timeline.seconds(*self.source.timeline.to_frames(begin, end))
            raise ValueError(
                f"{self.source.path}: the part from {first:.2f} to {last:.2f} s is not encoded; "
                "encode the video with the same begin, end and search"
            )
        padded = np.zeros((max_steps, *self.features.shape[1:]), self.features.dtype)
        padded[: len(rows)] = self.features[rows]
        return padded, np.arange(max_steps) < len(rows)

    def at_path(self, path: str) -> "EncodedVideo":
        """Returns a copy with another path of the video file."""
        return dataclasses.replace(self, source=dataclasses.replace(self.source, path=path))

    def save(self, path: str | os.PathLike) -> None:
        """Writes an `.npz` file atomically. `load` does not require the video file."""
        source = self.source
        timeline = source.timeline
        shown = timeline.source_frames
        description = {
            "format": _FORMAT,
            "path": source.path,
            "width": source.width,
            "height": source.height,
            "fps": source.fps,
            "end_time": timeline.end_time,
            "resampled": shown is not None,
            "fingerprint": self.fingerprint,
        }
        arrays = {
            "features": self.features,
            "windows": self.windows,
            "times": timeline.times,
            "source_frames": np.zeros(0, np.int64) if shown is None else shown,
            "description": np.array(json.dumps(description)),
        }
        with whole_file(os.fspath(path)) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "EncodedVideo":
        """Loads a file written by `save`.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file is damaged or not an encoded video.
        """
        path = os.fspath(path)
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: no such encoded video")
        with open(path, "rb") as file:
            try:
                video = cls._read(file)
                _check(video)
            # Damaged archives raise the errors of the last line.
            except (
                *(ValueError, KeyError, TypeError, EOFError),
                *(zipfile.BadZipFile, zlib.error, RuntimeError, OSError, MemoryError),
            ) as error:
                raise ValueError(
                    f"{path}: not an encoded video ({error}); encode the video again"
                ) from error
        return video

    @classmethod
    def _read(cls, file):
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _ARRAYS}
            description = json.loads(str(stored["description"]))
        for name, dtype in _ARRAYS.items():
            # Members of another format are read as bytes.
            found = getattr(arrays[name], "dtype", "bytes")
            if found != dtype:
                raise ValueError(f"{name}: expected {np.dtype(dtype)} numbers, got {found}")
        if description["format"] != _FORMAT:
            raise ValueError(f"has format {description['format']}, expected {_FORMAT}")
        timeline = Timeline(
            times=arrays["times"],
            end_time=description["end_time"],
            source_frames=arrays["source_frames"] if description["resampled"] else None,
        )
        size = (description["width"], description["height"], description["fps"])
        source = SourceVideo(description["path"], *size, timeline)
        return cls(arrays["features"], arrays["windows"], source, description["fingerprint"])


def encode_windows(
    path: str,
    compute: Callable[[np.ndarray, np.ndarray], np.ndarray],
    windows_of: Callable[[Timeline], Sequence[int]],
    fingerprint: dict[str, Any],
    *,
    batch_size: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> EncodedVideo:
    """Encodes some windows of a video; of its frames, memory contains two batches at most.

    Args:
        path: video file.
        compute: network; maps uint8 frames `[F, H, W, 3]` and int32 windows `[n, 8]`, indices into
            these frames, to features `[n, S, S, C]`.
        windows_of: returns the numbers of the windows to encode, in ascending order.
        fingerprint: settings of the feature extraction.
        batch_size: maximum number of windows per batch, `n`.
        on_progress: called after each batch with the windows done and their total.

    Raises:
        FileNotFoundError: no such file.
        reading.VideoError: no frame can be decoded, or resampling fails on its time stamps.
        ValueError: a feature is not a finite number.
    """
    try:
        stream = reading.decode_frames(path, fps=fingerprint.get("fps"))
        windows = np.asarray(windows_of(stream.read_timeline(decode=False)), np.int64)
        features = _encode(path, stream, windows, compute, batch_size, on_progress)
    except IndexMismatchError as error:
        logging.info("%s: %s; decoding all frames", path, error)
        stream = reading.decode_frames(path, fps=fingerprint.get("fps"))
        windows = np.asarray(windows_of(stream.read_timeline()), np.int64)
        features = _encode(path, stream, windows, compute, batch_size, on_progress)
    for message in filter(None, [stream.damage, *stream.notices]):
        logging.warning("%s: %s", path, message)
    stored = as_stored(features, fingerprint.get("storage_dtype", "float16"))
    return EncodedVideo(stored, windows, stream.source, fingerprint)


def _encode(path, stream, windows, compute, batch_size, on_progress):
    frame_numbers = window_frames(stream.timeline.sample_count)[windows]
    frames = stream.frames_at(np.unique(frame_numbers))
    features, done = None, 0
    for batch in decoded_ahead(selected_window_batches(frames, frame_numbers, batch_size)):
        computed = finite_features(compute(*batch).astype(np.float16), path)
        if features is None:  # those of an hour take 2 GB: never twice in memory
            features = np.empty((len(windows), *computed.shape[1:]), np.float16)
        features[done : done + len(computed)] = computed
        done += len(computed)
        if on_progress is not None:
            on_progress(done, len(windows))
    return features


def finite_features(features: np.ndarray, path: str) -> np.ndarray:
    """Returns the float16 features of the video `path`; `ValueError` if some are not finite."""
    if not np.isfinite(features).all():
        raise ValueError(f"{path}: features are not finite in float16; are the I3D weights valid?")
    return features


def _check(video):
    """Raises `ValueError` or `TypeError` if the fields of a loaded file do not fit together."""
    source, timeline = video.source, video.source.timeline
    for name, value, wanted in (
        ("path", source.path, str),
        ("fingerprint", video.fingerprint, dict),
    ):
        if not isinstance(value, wanted):
            raise TypeError(f"{name}: expected a {wanted.__name__}, got {value!r}")
    for name in ("width", "height", "fps"):
        if not is_number(getattr(source, name)) or getattr(source, name) <= 0:
            raise ValueError(f"{name}: expected a positive number, got {getattr(source, name)!r}")
    if not is_number(timeline.end_time):
        raise ValueError(f"end_time: expected a number, got {timeline.end_time!r}")
    bounds = np.append(timeline.times, timeline.end_time)
    in_order = np.isfinite(bounds).all() and (np.diff(bounds) >= 0).all()
    if timeline.times.ndim != 1 or bounds.size < 2 or not in_order:
        raise ValueError("times: expected times of frames in ascending order")
    if (shown := timeline.source_frames) is not None and (
        shown.ndim != 1
        or not len(shown)
        or (np.diff(shown, prepend=0, append=timeline.frame_count - 1) < 0).any()
    ):
        raise ValueError("source_frames: expected frames of the video in ascending order")
    windows, last = video.windows, count_windows(timeline.sample_count) - 1
    if windows.ndim != 1 or not windows.size:
        raise ValueError("windows: expected numbers of windows")
    if not 0 <= windows[0] <= windows[-1] <= last or (np.diff(windows) <= 0).any():
        raise ValueError(f"windows: expected numbers from 0 to {last} in ascending order")
    shape = (len(windows), *video.fingerprint["shape"])
    if video.features.shape != shape:
        raise ValueError(f"features: expected shape {shape}, got {video.features.shape}")
    if not np.isfinite(video.features).all():
        raise ValueError("features: expected finite numbers, found NaN or infinity")


def cache_path(
    cache_dir: str | os.PathLike, video: str, fingerprint: dict, searched: dict[str, Any]
) -> str:
    """Path of the cache file of a video, derived from its content and what is encoded of it.

    If the content of the video changes, so does the path.

    Args:
        cache_dir: the cache folder.
        video: video file.
        fingerprint: settings of the feature extraction.
        searched: what determines the encoded windows; JSON.
    """
    with open(video, "rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    settings = {key: value for key, value in fingerprint.items() if key != "i3d_source"}
    settings |= {"format": _FORMAT, "searched": searched}
    made = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return os.path.join(os.fspath(cache_dir), f"{content[:32]}-{made[:16]}.npz")
