"""The sound of a video, put beside other pictures."""

import fractions
import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import av
from absl import logging

# Codecs that players expect in MP4; others are encoded anew.
COPIED_CODECS = ("aac", "ac3", "alac", "eac3", "flac", "mp3", "opus")
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
# A decoder of sound needs a little of what comes before; players cut it away.
PREROLL = fractions.Fraction(1, 10)  # seconds


@dataclass(frozen=True)
class SoundSource:
    """A video file whose sound is wanted.

    Attributes:
        path: of the file.
        start: when its first frame appears by the file's own time stamps, in seconds.
    """

    path: str
    start: fractions.Fraction


def has_sound(path: str) -> bool:
    """Whether a file has a sound track in a codec that can be decoded or copied."""
    with av.open(path) as container:
        stream = container.streams.best("audio")
        return stream is not None and stream.codec_context is not None


def add_sound(picture_path: str, source: SoundSource, output_path: str, options: dict) -> None:
    """Writes an MP4 with the picture of one file and the sound of another, which stay in step.

    The packets of the picture are copied, those of the sound too if MP4 players know its codec;
    else it is encoded as AAC. If neither works, the sound is left out, and a warning says so.

    Args:
        picture_path: an MP4 without sound, whose first frame appears at time 0.
        source: the other file.
        output_path: of the MP4.
        options: of the muxer.
    """
    with av.open(source.path) as container:
        codec = container.streams.best("audio").codec_context.codec.canonical_name
    writers = [_copied, _encoded] if codec in COPIED_CODECS else [_encoded]
    for writer in writers:
        try:
            _write(picture_path, source, output_path, options, writer)
            return
        except (av.FFmpegError, ValueError) as error:
            reason = error
    logging.warning(
        "%s: its sound (%s) is left out, it cannot be written: %s", source.path, codec, reason
    )
    _write(picture_path, None, output_path, options, None)


def _write(picture_path, source, output_path, options, sound_writer):
    with (
        av.open(picture_path) as pictures,
        av.open(output_path, "w", format="mp4", options=options) as output,
    ):
        video = output.add_stream_from_template(pictures.streams.video[0], opaque=True)
        packets = [_copy(pictures, pictures.streams.video[0], video)]
        if source is None:
            _mux(output, packets)
            return
        with av.open(source.path) as container:
            packets.append(sound_writer(output, container, source.start))
            _mux(output, packets)


def _mux(output, packets):
    """Writes packets by their time, so that the muxer need not hold many."""
    for packet in heapq.merge(*packets, key=lambda packet: packet.dts * packet.time_base):
        output.mux(packet)


def _copy(container, stream, target) -> Iterator[av.Packet]:
    for packet in container.demux(stream):
        if packet.dts is not None:
            packet.stream = target
            yield packet


def _copied(output, container, start):
    """A sound track of copied packets."""
    stream = container.streams.best("audio")
    target = output.add_stream_from_template(stream)

    def packets():
        for packet in _demux(container, stream):
            if packet.dts is None or packet.pts is None:
                continue
            shift = round(start / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            # What an edit list cuts away is not played, but may be needed before the beginning.
            cut_away = packet.is_discard and packet.pts >= 0
            if not cut_away and packet.pts * packet.time_base >= -PREROLL:
                packet.stream = target
                yield packet

    return packets()


def _encoded(output, container, start):
    """A sound track encoded as AAC."""
    stream = container.streams.best("audio")
    rate = stream.codec_context.sample_rate
    rate = min((r for r in AAC_RATES if r >= rate), default=AAC_RATES[-1])
    layout = "mono" if stream.codec_context.channels == 1 else "stereo"
    target = output.add_stream("aac", rate=rate, layout=layout)
    target.codec_context.time_base = fractions.Fraction(1, rate)

    def packets():
        target.codec_context.open()
        resampler = av.AudioResampler("fltp", layout, rate, target.codec_context.frame_size)
        for frame in _decoded(container, stream):
            for resampled in resampler.resample(frame):
                yield from _shifted(target.encode(resampled))
        for resampled in resampler.resample(None):
            yield from _shifted(target.encode(resampled))
        yield from _shifted(target.encode())

    def _shifted(encoded):
        for packet in encoded:
            shift = round(start / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if packet.pts * packet.time_base >= -PREROLL:
                yield packet

    return packets()


def _demux(container, stream):
    """Packets up to where the file is damaged, with a warning."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            logging.warning("%s: its sound stops early: %s", container.name, error.strerror)
            return
        if packet is None:
            return
        yield packet


def _decoded(container, stream):
    """Frames of sound; a packet that cannot be decoded is silence."""
    for packet in _demux(container, stream):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue
