"""Times of all frames of a video, read from its packets, and decoding of single frames by seeking.

To read the packets of an hour takes about a second, to decode them minutes. Not all files tell
their frames so: a codec may put several frames or none into a packet, time stamps may be missing,
and an edit list may remove frames. Then, or if decoding finds other frames than the packets
announce, the frames can only be counted by decoding all of them, as `gkcmn_tf.video.reading` does.
"""

import bisect
import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import av


class IndexMismatchError(Exception):
    """Decoding found other frames than the packets announce, or a seek failed."""


@dataclasses.dataclass(frozen=True)
class PacketStamps:
    """Time stamps of a packet of one frame, in units of `time_base` seconds.

    Example:
        >>> import fractions
        >>> from gkcmn_tf.video.packet_index import PacketStamps
        >>> packet = PacketStamps(1024, 0, 512, fractions.Fraction(1, 12800), is_key=True)
        >>> float(packet.duration * packet.time_base)
        0.04

    Attributes:
        pts: when the frame is shown.
        dts: when it is decoded; `pts` if unknown, as in Matroska's first packets.
        duration: duration of the frame; 0 if unknown.
        time_base: unit of the three.
        is_key: whether decoding can start here.
    """

    pts: int
    dts: int
    duration: int
    time_base: object
    _: dataclasses.KW_ONLY
    is_key: bool


def read_packets(container: av.container.InputContainer, stream) -> list[PacketStamps] | None:
    """Reads the packets of a newly opened video.

    Args:
        container: the open file.
        stream: its video stream, of a codec with one frame per packet.

    Returns:
        one entry per frame, in the order in which frames are shown; None if the packets do not
        tell all frames.
    """
    packets, last_dts = [], None
    try:
        for packet in container.demux(stream):
            if packet.pts is None and not packet.size:
                continue  # the final, empty packet
            if packet.pts is None or packet.is_discard or packet.is_corrupt:
                return None
            if packet.dts is not None:
                if last_dts is not None and packet.dts < last_dts:
                    return None  # time stamps start again, as in joined files
                last_dts = packet.dts
            packets.append(
                PacketStamps(
                    packet.pts,
                    packet.pts if packet.dts is None else packet.dts,
                    packet.duration or 0,
                    packet.time_base,
                    is_key=packet.is_keyframe,
                )
            )
    except av.FFmpegError:
        return None
    packets.sort(key=lambda packet: packet.pts)
    if not packets or not packets[0].is_key:
        return None
    if any(one.pts == other.pts for one, other in itertools.pairwise(packets)):
        return None
    return packets


def decode_frames_at(
    container: av.container.InputContainer,
    stream,
    packets: Sequence[PacketStamps],
    numbers: Sequence[int],
) -> Iterator[av.VideoFrame]:
    """Decodes single frames, each from the nearest key frame before it.

    Args:
        container: the open file; it is closed at the end.
        stream: its video stream.
        packets: what `read_packets` returned.
        numbers: frame numbers in ascending order.

    Raises:
        IndexMismatchError: a frame cannot be decoded, or another one appears in its place.
    """
    keys = [number for number, packet in enumerate(packets) if packet.is_key]
    decoded, next_number = None, 0
    try:
        for number in numbers:
            key = keys[bisect.bisect(keys, number) - 1]
            if decoded is None or key > next_number:
                decoded, next_number = _decode_from(container, stream, packets, key), key
            for frame in decoded:
                next_number += 1
                if next_number > number:
                    yield frame
                    break
            else:
                raise IndexMismatchError(f"the video ends before frame {number}")
    except av.FFmpegError as error:
        raise IndexMismatchError(error.strerror) from error
    finally:
        container.close()


def _decode_from(container, stream, packets, key):
    """Yields frame `key`, a key frame, and those after it, each compared with its packet."""
    start = packets[key]
    container.seek(start.dts, stream=stream)
    found = container.demux(stream)
    for packet in found:
        if packet.pts == start.pts and packet.is_keyframe:
            break
        if packet.pts is None or (packet.dts is not None and packet.dts > start.dts):
            raise IndexMismatchError(f"a seek misses frame {key}")
    number = key
    while True:
        for frame in packet.decode():
            if frame.pts is not None and frame.pts < start.pts:
                continue  # shown before the key frame, and refers to frames before it
            if number == len(packets) or frame.pts != packets[number].pts or frame.is_corrupt:
                raise IndexMismatchError(f"frame {number} is not the one that its packet announces")
            yield frame
            number += 1
        packet = next(found, None)
        if packet is None:
            return
