"""Cropping that a container asks for: `clap` in MP4 and MOV, PixelCrop in Matroska and WebM."""

import dataclasses
import io
from collections.abc import Iterator

import av

# Ids of Matroska's elements, from the file down to the cropping of a video track.
_PATH = (0x18538067, 0x1654AE6B, 0xAE, 0xE0)  # Segment, Tracks, TrackEntry, Video
_SIDES = {0x54CC: "left", 0x54BB: "top", 0x54DD: "right", 0x54AA: "bottom"}


@dataclasses.dataclass(frozen=True)
class Cropping:
    """Pixels to remove on each side of the stored frame, before it is turned upright.

    Example:
        >>> from gkcmn_tf.video.cropping import Cropping
        >>> Cropping(left=8).box(64, 48)
        (8, 0, 64, 48)
    """

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The part `(x1, y1, x2, y2)` that is left of a frame, in pixels."""
        return self.left, self.top, width - self.right, height - self.bottom


def read_cropping(stream: av.VideoStream) -> Cropping:
    """Reads the cropping that the container of a stream asks for.

    FFmpeg knows it, but PyAV does not pass it on. So FFmpeg writes the header of a Matroska file
    for the stream, in memory, from which it is read.
    """
    header = io.BytesIO()
    try:
        with av.open(header, "w", format="matroska") as container:
            container.add_stream_from_template(stream, opaque=True)
            container.start_encoding()
    except (av.FFmpegError, ValueError):  # Matroska does not support the codec
        return Cropping()
    parts = [header.getvalue()]
    for wanted in _PATH:
        parts = [content for part in parts for name, content in _elements(part) if name == wanted]
    found = {
        _SIDES[name]: int.from_bytes(content)
        for part in parts
        for name, content in _elements(part)
        if name in _SIDES
    }
    return Cropping(**found)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields id and content of the EBML elements in `data`."""
    place = 0
    while place < len(data):
        length = 9 - data[place].bit_length()
        name = int.from_bytes(data[place : place + length])
        place += length
        length = 9 - data[place].bit_length()
        size = int.from_bytes(data[place : place + length]) - (1 << 7 * length)
        place += length
        yield name, data[place : place + size]
        place += size
