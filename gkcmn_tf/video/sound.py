"""Adds the audio track of a video to another video."""

import fractions
import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import av
from absl import logging

from gkcmn_tf.video.reading import file_url

# Codecs that players support in MP4; audio in other codecs is re-encoded.
COPIED_CODECS = ("aac", "ac3", "alac", "eac3", "flac", "mp3", "opus")
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
# Audio decoders need a short preroll before the first sample; players skip it.
PREROLL = fractions.Fraction(1, 10)  # seconds


@dataclass(frozen=True)
class SoundSource:
    """A video file with an audio track.

    Example:
        >>> import fractions
        >>> from gkcmn_tf.video.sound import SoundSource
        >>> SoundSource("clip.mp4", start=fractions.Fraction(1, 25)).path
        'clip.mp4'

    Attributes:
        path: path of the file.
        start: time stamp in the file of the first frame of the picture, in seconds.
        duration: duration of the picture in seconds, after which sound is left out; None for all.
    """

    path: str
    start: fractions.Fraction
    duration: fractions.Fraction | None = None


def has_sound(path: str) -> bool:
    """Whether a file has an audio track in a known codec."""
    with av.open(file_url(path), metadata_errors="replace") as container:
        stream = container.streams.best("audio")
        return stream is not None and stream.codec_context is not None


def add_sound(picture_path: str, source: SoundSource, output_path: str, options: dict) -> None:
    """Writes an MP4 with the video stream of one file and the audio track of another, in sync.

    Video packets are copied. Audio packets are copied if MP4 players support the codec; otherwise
    audio is re-encoded as AAC. If both fail, the audio is omitted with a warning.

    Args:
        picture_path: path of an MP4 without audio that starts at time 0.
        source: the file with the audio track.
        output_path: path of the MP4 to write.
        options: options of the muxer.
    """
    with av.open(file_url(source.path), metadata_errors="replace") as container:
        codec = container.streams.best("audio").codec_context.codec.canonical_name
    writers = [_copied, _encoded] if codec in COPIED_CODECS else [_encoded]
    for writer in writers:
        try:
            _write(picture_path, source, output_path, options, writer)
            return
        except (av.FFmpegError, ValueError) as error:
            reason = error
    logging.warning(
        "%s: omitting its audio track (%s), which cannot be written: %s", source.path, codec, reason
    )
    _write(picture_path, None, output_path, options, None)


def _write(picture_path, source, output_path, options, sound_writer):
    with (
        av.open(file_url(picture_path)) as pictures,
        av.open(file_url(output_path), "w", format="mp4", options=options) as output,
    ):
        video = output.add_stream_from_template(pictures.streams.video[0], opaque=True)
        packets = [_copy(pictures, pictures.streams.video[0], video)]
        if source is None:
            _mux(output, packets)
            return
        with av.open(file_url(source.path), metadata_errors="replace") as container:
            packets.append(sound_writer(output, container, source))
            _mux(output, packets)


def _mux(output, packets):
    """Writes packets in order of time, which keeps the buffer of the muxer small."""
    for packet in heapq.merge(*packets, key=lambda packet: packet.dts * packet.time_base):
        output.mux(packet)


def _copy(container, stream, target) -> Iterator[av.Packet]:
    for packet in container.demux(stream):
        if packet.dts is not None:
            packet.stream = target
            yield packet


def _copied(output, container, source):
    """Packets of an audio track, copied."""
    stream = container.streams.best("audio")
    target = output.add_stream_from_template(stream)

    def packets():
        for packet in _demux(container, stream, source):
            if packet.dts is None or packet.pts is None:
                continue
            shift = round(source.start / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            # Packets removed by an edit list are kept before the beginning, as preroll.
            cut_away = packet.is_discard and packet.pts >= 0
            if not cut_away and packet.pts * packet.time_base >= -PREROLL:
                packet.stream = target
                yield packet

    return packets()


def _encoded(output, container, source):
    """Packets of an audio track, re-encoded as AAC."""
    stream = container.streams.best("audio")
    rate = stream.codec_context.sample_rate
    rate = min((r for r in AAC_RATES if r >= rate), default=AAC_RATES[-1])
    layout = "mono" if stream.codec_context.channels == 1 else "stereo"
    target = output.add_stream("aac", rate=rate, layout=layout)
    target.codec_context.time_base = fractions.Fraction(1, rate)

    def packets():
        target.codec_context.open()
        resampler = av.AudioResampler("fltp", layout, rate, target.codec_context.frame_size)
        for frame in _decoded(container, stream, source):
            for resampled in resampler.resample(frame):
                yield from _shifted(target.encode(resampled))
        for resampled in resampler.resample(None):
            yield from _shifted(target.encode(resampled))
        yield from _shifted(target.encode())

    def _shifted(encoded):
        for packet in encoded:
            shift = round(source.start / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if packet.pts * packet.time_base >= -PREROLL:
                yield packet

    return packets()


def _demux(container, stream, source):
    """Yields packets up to the end of the picture; stops with a warning where they are damaged."""
    end = None if source.duration is None else source.start + source.duration
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            logging.warning("%s: the audio track ends early: %s", container.name, error.strerror)
            return
        if packet is None:
            return
        if end is not None and packet.pts is not None and packet.pts * packet.time_base >= end:
            return
        yield packet


def _decoded(container, stream, source):
    """Yields decoded audio frames; skips packets that cannot be decoded."""
    for packet in _demux(container, stream, source):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue
