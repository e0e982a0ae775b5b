"""Video files in and out.

This is the only place where videos are decoded and frames resized, so that features and pictures
see the same frames whoever asks. Frames are numbered from 0 in the order in which they are shown,
each one the file holds, whatever its time stamp.
"""

import dataclasses
import fractions
import itertools
import os
from collections.abc import Iterable, Iterator

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

FRAME_SIZE = 224

# Bilinear in swscale widens its kernel when it shrinks a picture, so it does not alias; the other
# two flags take the same arithmetic on every CPU.
RESIZE = "swscale bilinear"
_RESIZE_FLAGS = int(Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT)


class VideoError(ValueError):
    """Not one frame can be decoded; the message names the file and the reason."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a file declares: upright size in pixels, frames a second, frames (0 if unknown)."""

    width: int
    height: int
    fps: float
    declared_frames: int


class FrameStream:
    """The frames of a video, decoded one after the other as they are asked for; iterate once.

    Frames are uint8 RGB `[height, width, 3]`, upright whatever way the camera was held. Only the
    frame at hand and the few that the decoder needs are in memory.

    Attributes:
        info: what the file declares.
        count: frames yielded so far.
        damage: after the last frame, why there were fewer than declared; empty if there were not.
    """

    def __init__(self, path: str, size: int | None):
        self.count = 0
        self.damage = ""
        self._size = size
        self._reformatter = VideoReformatter()
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: no such file")
        try:
            self._container = av.open(path)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{path}: cannot be opened as a video: {error.strerror}") from error
        if not self._container.streams.video:
            raise VideoError(f"{path}: has no video stream")
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        frames = self._container.decode(stream)
        try:
            first = next(frames, None)
        except av.FFmpegError as error:
            raise VideoError(f"{path}: no frame can be decoded: {error.strerror}") from error
        if first is None:
            raise VideoError(f"{path}: holds no frames")
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise VideoError(f"{path}: declares no frame rate")
        # The angle is anticlockwise; a quarter turn swaps width and height.
        self._quarter_turns = round(first.rotation / 90) % 4
        width, height = first.width, first.height
        if self._quarter_turns % 2:
            width, height = height, width
        self.info = VideoInfo(width, height, float(rate), stream.frames)
        self._frames = itertools.chain([first], frames)

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            for frame in self._frames:
                self.count += 1
                yield self._convert(frame)
        except av.FFmpegError as error:
            self.damage = f"decoding stops after frame {self.count}: {error.strerror}"
        finally:
            self._container.close()
        if self.count < self.info.declared_frames and not self.damage:
            self.damage = f"{self.count} of {self.info.declared_frames} frames can be decoded"

    def _convert(self, frame):
        if self._size is not None:
            width = height = self._size
        else:
            width, height = self.info.width, self.info.height
            if self._quarter_turns % 2:
                width, height = height, width
        resized = self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=_RESIZE_FLAGS, threads=1
        )
        return np.ascontiguousarray(np.rot90(resized.to_ndarray(), self._quarter_turns))


def decode_frames(path: str, size: int | None = FRAME_SIZE) -> FrameStream:
    """Opens a video for reading frame by frame.

    Args:
        path: any file that FFmpeg reads.
        size: the whole frame, nothing cropped, is resized to `size x size`; None keeps its size.

    Raises:
        FileNotFoundError: no such file.
        VideoError: not one frame can be decoded. A file that breaks off later yields the frames
            before the break and reports it in `FrameStream.damage`.
    """
    return FrameStream(path, size)


def probe(path: str) -> VideoInfo:
    """What a video declares, after decoding its first frame; raises as `decode_frames` does."""
    return decode_frames(path).info


def write_video(path: str, frames: Iterable[np.ndarray], fps: float) -> None:
    """Writes an H.264 MP4, whole or not at all; the same frames give the same bytes.

    Args:
        path: ends in `.mp4` by custom.
        frames: uint8 RGB `[height, width, 3]`, all of one size. An odd width or height, which
            H.264 with halved colour cannot hold, is padded by one repeated column or row.
        fps: frames a second.

    Raises:
        ValueError: no frames, or one that is not such an array or differs in size.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = f"{path}.tmp-{os.getpid()}"
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    try:
        with av.open(temporary, "w", format="mp4", options=options) as container:
            _encode(container, path, frames, fps)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def _encode(container, path, frames, fps):
    shape = stream = None
    for number, frame in enumerate(frames):
        shape = shape or (*frame.shape[:2], 3)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape != shape:
            raise ValueError(
                f"{path}: frame {number} is {frame.dtype} {frame.shape}, expected uint8 "
                f"[height, width, 3] of one size"
            )
        height, width, _ = shape
        if stream is None:
            rate = fractions.Fraction(fps).limit_denominator(65535)
            stream = container.add_stream("libx264", rate=rate)
            stream.height, stream.width = height + height % 2, width + width % 2
            stream.pix_fmt = "yuv420p"
            # x264's output depends on how many threads share the work.
            stream.codec_context.thread_count = 1
        padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(padded, format="rgb24")))
    if stream is None:
        raise ValueError(f"{path}: no frames to write")
    container.mux(stream.encode())
