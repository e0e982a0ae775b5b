"""Writes H.264 videos atomically."""

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
from gkcmn_tf.video.reading import RESIZE_FLAGS, file_url

MP4_OPTIONS = {"movflags": "+faststart", "fflags": "+bitexact"}
# For deterministic output: no macroblock tree, with which the output of x264 varies at times. It
# also depends on the number of threads, hence `thread_count = 1` below.
X264_PARAMETERS = "no-mbtree=1"
TICKS_PER_SECOND = 90_000  # minimum; a multiple of the source's keeps its time stamps exact
MAX_TICKS_PER_SECOND = 1_000_000  # limit for long frames in the 32-bit fields of MP4


@dataclasses.dataclass(frozen=True, eq=False)
class TimedFrame:
    """A frame with its presentation time.

    Example:
        >>> import fractions
        >>> import numpy as np
        >>> from gkcmn_tf.video.writing import TimedFrame
        >>> second = fractions.Fraction(1)
        >>> TimedFrame(np.zeros([4, 6, 3], np.uint8), 2 * second, second / 25).duration
        Fraction(1, 25)

    Attributes:
        pixels: uint8 RGB `[height, width, 3]`.
        time: presentation time, in seconds after the start of the file.
        duration: duration in seconds; used for the last frame only.
    """

    pixels: np.ndarray
    time: fractions.Fraction
    duration: fractions.Fraction


def write_video(path: str, frames: Iterable[np.ndarray], fps: float) -> None:
    """Writes an H.264 MP4 atomically; the output is deterministic.

    Args:
        path: output path, usually `*.mp4`.
        frames: uint8 RGB `[height, width, 3]`, all of the same size. Odd widths and heights, which
            4:2:0 chroma subsampling does not support, are padded by repeating the last column or
            row.
        fps: frame rate.

    Raises:
        ValueError: there are no frames, or a frame has another dtype or size.
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
    """Writes an H.264 MP4 with a variable frame rate atomically.

    Args:
        path: output path, usually `*.mp4`.
        frames: frames of the same size, as in `write_video`, in presentation order.
        fps: mean frame rate, used for the rate control of the encoder.
        time_base: unit of the source's time stamps in seconds; multiples of it are kept exactly.
        pixel_aspect: pixel aspect ratio (width / height).
        sound_source: video file with the audio track to add; None for no audio.
        max_bit_rate: maximum video bit rate in bits per second; None for no limit.

    Raises:
        ValueError: see `write_video`.
    """
    rate = fractions.Fraction(fps).limit_denominator(65535)
    ticks = _ticks_per_second(time_base)
    # MP4 stores packet durations, which differ from frame durations if there are B-frames.
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
    """Yields `path`; removes the file on exit."""
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
    """Yields frames with time stamp and duration in ticks; time stamps strictly increase."""
    last = -1
    for frame in frames:
        last = max(round(frame.time * ticks), last + 1)
        yield frame.pixels, last, max(round(frame.duration * ticks), 1)


def _encode(
    temporary, path, frames, rate, time_base, pixel_aspect=None, parameters=X264_PARAMETERS
):
    with av.open(file_url(temporary), "w", format="mp4", options=MP4_OPTIONS) as container:
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
            # The conversion inside the encoder is multi-threaded and not deterministic.
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
