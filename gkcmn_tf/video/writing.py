"""Video files written, whole or not at all."""

import contextlib
import dataclasses
import fractions
import os
from collections.abc import Iterable, Iterator

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from gkcmn_tf.files import whole_file
from gkcmn_tf.video import sound
from gkcmn_tf.video.reading import RESIZE_FLAGS

MP4_OPTIONS = {"movflags": "+faststart", "fflags": "+bitexact"}
# x264's output depends on how many threads share the work, and with its macroblock tree now and
# then differs for no known reason.
X264_PARAMETERS = "no-mbtree=1"
TICKS_PER_SECOND = 90_000  # at least; a multiple of the source's, so that its time stamps are kept
MAX_TICKS_PER_SECOND = 1_000_000  # more do not fit a long frame into MP4's 32 bits


@dataclasses.dataclass(frozen=True, eq=False)
class TimedFrame:
    """A frame and when it is shown.

    Attributes:
        pixels: uint8 RGB `[height, width, 3]`.
        time: when it appears, in seconds after the first frame.
        duration: for how long it is shown, in seconds; matters for the last frame only.
    """

    pixels: np.ndarray
    time: fractions.Fraction
    duration: fractions.Fraction


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
    rate = fractions.Fraction(fps).limit_denominator(65535)
    numbered = ((frame, number, 1) for number, frame in enumerate(frames))
    with whole_file(path) as temporary:
        _encode(temporary, path, numbered, rate, 1 / rate)


def write_timed_video(
    path: str,
    frames: Iterable[TimedFrame],
    fps: float,
    *,
    time_base: fractions.Fraction = fractions.Fraction(1, TICKS_PER_SECOND),
    pixel_aspect: fractions.Fraction = fractions.Fraction(1),
    sound_source: sound.SoundSource | None = None,
    max_bit_rate: int | None = None,
) -> None:
    """Writes an H.264 MP4 whose frames are shown at their own times, whole or not at all.

    Args:
        path: ends in `.mp4` by custom.
        frames: of one size, as in `write_video`, in the order in which they are shown.
        fps: the mean frame rate, which the encoder allots bits by.
        time_base: of the source; frame times that are multiples of it are kept exactly.
        pixel_aspect: width of a pixel by its height.
        sound_source: whose sound goes with the frames.
        max_bit_rate: of the picture, in bits a second; None for what the quality takes.

    Raises:
        ValueError: as in `write_video`.
    """
    rate = fractions.Fraction(fps).limit_denominator(65535)
    ticks = _ticks_per_second(time_base)
    # MP4 stores for how long packets last; with B-frames that is not how long pictures are shown.
    parameters = [X264_PARAMETERS, "bframes=0"]
    if max_bit_rate is not None:
        kilobits = max(max_bit_rate // 1000, 1)
        parameters += [f"vbv-maxrate={kilobits}", f"vbv-bufsize={kilobits}"]
    with whole_file(path) as temporary, contextlib.ExitStack() as stack:
        picture = temporary
        if sound_source is not None:
            picture = stack.enter_context(_removed(f"{temporary}.picture"))
        _encode(
            picture,
            path,
            _in_ticks(frames, ticks),
            rate,
            fractions.Fraction(1, ticks),
            pixel_aspect,
            ":".join(parameters),
        )
        if sound_source is not None:
            sound.add_sound(picture, sound_source, temporary, MP4_OPTIONS)


@contextlib.contextmanager
def _removed(path):
    """Yields `path`, and removes the file at the end."""
    try:
        yield path
    finally:
        if os.path.exists(path):
            os.remove(path)


def _ticks_per_second(time_base):
    denominator = time_base.denominator
    if denominator > MAX_TICKS_PER_SECOND:
        return TICKS_PER_SECOND
    return denominator * -(-TICKS_PER_SECOND // denominator)


def _in_ticks(frames, ticks) -> Iterator[tuple[np.ndarray, int, int]]:
    """Frames with their time stamp and duration; each comes at least a tick after the other."""
    last = -1
    for frame in frames:
        last = max(round(frame.time * ticks), last + 1)
        yield frame.pixels, last, max(round(frame.duration * ticks), 1)


def _encode(
    temporary, path, frames, rate, time_base, pixel_aspect=None, parameters=X264_PARAMETERS
):
    with av.open(temporary, "w", format="mp4", options=MP4_OPTIONS) as container:
        shape = stream = None
        reformatter = VideoReformatter()
        for number, (pixels, stamp, duration) in enumerate(frames):
            shape = shape or (*pixels.shape[:2], 3)
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape != shape:
                raise ValueError(
                    f"{path}: frame {number} is {pixels.dtype} {pixels.shape}, expected uint8 "
                    f"[height, width, 3] of one size"
                )
            height, width, _ = shape
            if stream is None:
                stream = container.add_stream("libx264", rate=rate)
                stream.height, stream.width = height + height % 2, width + width % 2
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = time_base
                if pixel_aspect is not None:
                    stream.codec_context.sample_aspect_ratio = pixel_aspect
                stream.codec_context.thread_count = 1
                stream.codec_context.flags |= av.codec.context.Flags.frame_duration
                stream.options = {"x264-params": parameters}
            padded = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            # Left to the encoder, the conversion would use several threads, and vary.
            converted = reformatter.reformat(
                av.VideoFrame.from_ndarray(padded, format="rgb24"),
                format=stream.pix_fmt,
                interpolation=RESIZE_FLAGS,
                threads=1,
            )
            converted.pts, converted.time_base = stamp, time_base
            converted.duration = duration
            container.mux(stream.encode(converted))
        if stream is None:
            raise ValueError(f"{path}: no frames to write")
        container.mux(stream.encode())
