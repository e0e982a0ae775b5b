"""Video files written, whole or not at all."""

import fractions
import os
from collections.abc import Iterable

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from gkcmn_tf.video.reading import RESIZE_FLAGS


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
    reformatter = VideoReformatter()
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
            # x264's output depends on how many threads share the work, and with its macroblock tree
            # now and then differs for no known reason.
            stream.codec_context.thread_count = 1
            stream.options = {"x264-params": "no-mbtree=1"}
        padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        # Left to the encoder, the conversion would use several threads, and vary.
        converted = reformatter.reformat(
            av.VideoFrame.from_ndarray(padded, format="rgb24"),
            format=stream.pix_fmt,
            interpolation=RESIZE_FLAGS,
            threads=1,
        )
        container.mux(stream.encode(converted))
    if stream is None:
        raise ValueError(f"{path}: no frames to write")
    container.mux(stream.encode())
