"""Video files in and out.

This is the only place where videos are decoded and frames resized, so that features and pictures
see the same frames whoever asks. Frames are numbered from 0 in the order in which they are shown,
each one the file holds, whatever its time stamp; those that an edit list cuts away are not shown.
On demand a video is resampled by its time stamps (`gkcmn_tf.video.frame_rates`).
"""

import dataclasses
import fractions
import heapq
import itertools
import os
from collections.abc import Iterator

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from gkcmn_tf.video import frame_rates

FRAME_SIZE = 224

# Bilinear in swscale widens its kernel when it shrinks a picture, so it does not alias; the other
# two flags take the same arithmetic on every CPU.
RESIZE = "swscale bilinear"
RESIZE_FLAGS = int(Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT)

# Codecs of which every packet holds one shown frame, so that a packet without a frame is a loss;
# those that store frames in another order than shown may lack some in a sound file too: frames
# that refer to what an edit cut away. With them it takes an error to call it a loss.
_REORDERED_FRAMES = ("h264", "hevc")
_ONE_FRAME_PACKETS = (*_REORDERED_FRAMES, "vp9", "av1")

# Resampling repeats a frame until the next one appears; a longer wait is a broken time stamp.
MAX_FRAME_SECONDS = 600


class VideoError(ValueError):
    """A video cannot be used; the message names the file and the reason."""


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
        damage: after the last frame, what could not be decoded; empty if all could. A frame lost
            between others is replaced by the one before it, so that the others keep their number.
    """

    def __init__(
        self,
        path: str,
        size: int | None,
        fps: float | None = None,
        *,
        mirrored: bool = False,
    ):
        self.count = 0
        self.damage = ""
        self._path = path
        self._size = size
        self._mirrored = mirrored
        self._rate = None if fps is None else frame_rates.as_rate(fps)
        self._reformatter = VideoReformatter()
        self._times = []
        self._source_frames = []
        self._last_duration = None
        self._error = self._stop = ""
        self._lost = self._damaged = self._cut_away = 0
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: no such file")
        try:
            self._container = av.open(path)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{path}: cannot be opened as a video: {error.strerror}") from error
        # The best stream is what players show: not the cover picture, however early it comes.
        self._stream = stream = self._container.streams.best("video")
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
            raise VideoError(f"{path}: has no video stream")
        stream.thread_type = "AUTO"
        # A damaged picture is better than none: without this, some decoders leave it out.
        stream.codec_context.flags |= av.codec.context.Flags.output_corrupt
        # AVI stores no presentation times.
        self._has_times = self._container.format.name != "avi"
        decoded = self._decode()
        first = next(decoded, None)
        if first is None:
            if self._error:
                raise VideoError(f"{path}: no frame can be decoded: {self._error}")
            raise VideoError(f"{path}: holds no frames")
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise VideoError(f"{path}: declares no frame rate")
        self._declared_rate = fractions.Fraction(rate)
        frame, stamp = first
        self._first_stamp = stamp or 0
        # The angle is anticlockwise; a quarter turn swaps width and height.
        self._quarter_turns = round(frame.rotation / 90) % 4
        width, height = frame.width, frame.height
        if self._quarter_turns % 2:
            width, height = height, width
        self.info = VideoInfo(width, height, float(rate), stream.frames)
        self._decoded = itertools.chain([first], decoded)

    @property
    def fps(self) -> float:
        """Frames a second of what is yielded; complete after the last frame.

        Without resampling that is what the file declares, unless its time stamps put the last
        frame elsewhere by more than a frame: then it is their mean rate.
        """
        return float(self._rate or self._file_rate())

    @property
    def frame_time(self) -> fractions.Fraction:
        """When the frame yielded last appears, in seconds after the first one."""
        return (self.count - 1) / self._rate if self._rate else self._times[-1]

    @property
    def frame_duration(self) -> fractions.Fraction:
        """For how long the frame yielded last is shown by what the file says of it, in seconds."""
        return 1 / self._rate if self._rate else self._last_duration or 1 / self._declared_rate

    @property
    def start(self) -> fractions.Fraction:
        """The first frame's time stamp in the file, in seconds; 0 if it has none."""
        return self._first_stamp * self._stream.time_base

    @property
    def time_base(self) -> fractions.Fraction:
        """The unit of the file's time stamps, in seconds."""
        return self._stream.time_base

    @property
    def pixel_aspect(self) -> fractions.Fraction:
        """Width of a pixel by its height, in the upright picture; 1 if the file says nothing."""
        aspect = self._stream.sample_aspect_ratio or fractions.Fraction(1)
        return 1 / aspect if self._quarter_turns % 2 else aspect

    def _file_rate(self):
        declared, intervals = self._declared_rate, len(self._times) - 1
        if intervals < 1 or abs(self._times[-1] * declared - intervals) <= 1:
            return declared
        return intervals / self._times[-1] if self._times[-1] else declared

    @property
    def timeline(self) -> frame_rates.Timeline:
        """When each frame appears, and which of them were yielded; after the last frame."""
        end_time = self._times[-1] + (self._last_duration or 1 / self._file_rate())
        return frame_rates.Timeline(
            times=np.array(self._times, np.float64),
            end_time=float(end_time),
            source_frames=None if self._rate is None else np.array(self._source_frames, np.int64),
        )

    @property
    def source(self) -> frame_rates.SourceVideo:
        """The file as tubes refer to it; after the last frame."""
        return frame_rates.SourceVideo(
            self._path, self.info.width, self.info.height, float(self._file_rate()), self.timeline
        )

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            yield from self._resampled() if self._rate else self._all_frames()
        finally:
            self._container.close()
        self.damage = self._describe_damage()

    def _all_frames(self):
        for frame in self._timed():
            self.count += 1
            yield self._convert(frame)

    def _resampled(self):
        """Every frame as often as a sample shows it: it is known when the next one appears."""
        shown = None
        for frame in self._timed():
            time = self._times[-1]
            if len(self._times) > 1 and time - self._times[-2] > MAX_FRAME_SECONDS:
                raise VideoError(
                    f"{self._path}: frame {len(self._times) - 1} appears {float(time):.0f} s after "
                    f"the first and more than {MAX_FRAME_SECONDS} s after the one before it; its "
                    "time stamps cannot be resampled"
                )
            if shown is not None:
                number = len(self._times) - 2
                yield from self._show(shown, number, frame_rates.first_sample(time, self._rate))
            shown = frame
        number, samples = len(self._times) - 1, frame_rates.count_samples(time, self._rate)
        yield from self._show(shown, number, samples)

    def _show(self, frame, number, until):
        """Yields a frame for every sample from here to `until`."""
        if self.count >= until:
            return
        converted = self._convert(frame)
        while self.count < until:
            self.count += 1
            self._source_frames.append(number)
            yield converted

    def _timed(self):
        """Every frame; `_times` gets its time. One without a time stamp comes a frame later."""
        start = None
        for frame, stamp in self._decoded:
            previous = self._times[-1] if self._times else fractions.Fraction(0)
            if stamp is None:
                time = previous + 1 / self._declared_rate if self._times else previous
            else:
                start = stamp - previous / self._stream.time_base if start is None else start
                time = (stamp - start) * self._stream.time_base
            self._times.append(max(time, previous))
            tick = frame.time_base or self._stream.time_base
            self._last_duration = (frame.duration or 0) * tick
            yield frame

    def _decode(self):
        """Every frame with its time stamp in the stream's time base, None if there is none.

        Behind a packet that cannot be decoded, the time stamps of packets tell how many frames
        are lost; without them decoding stops, since no later frame would have its right number.
        """
        codec = self._stream.codec.canonical_name
        certain = self._has_times and codec in _ONE_FRAME_PACKETS
        reordered = codec in _REORDERED_FRAMES
        waiting = []  # stamps of packets whose frame has not come out yet
        previous = last = None
        packets = self._container.demux(self._stream)
        while True:
            packet = None
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                self._cut_away += packet.is_discard
                if packet.pts is None:
                    # The packet behind the last is empty, and has none either.
                    certain = certain and not packet.size
                elif not packet.is_discard:
                    heapq.heappush(waiting, packet.pts)
                frames = packet.decode()
            except av.FFmpegError as error:
                self._error = self._error or error.strerror
                if packet is None or not certain:  # nothing more can be read, or numbered
                    self._stop = error.strerror
                    return
                continue
            for frame in frames:
                stamp = frame.pts if self._has_times else frame.dts
                self._damaged += frame.is_corrupt
                if certain and stamp is not None:
                    unsound = self._error or self._damaged
                    if reordered and unsound and last is not None and stamp < last:
                        # Out of order, since a key frame is missing; its place has been filled.
                        continue
                    while waiting and waiting[0] <= stamp:
                        lost = heapq.heappop(waiting)
                        if lost < stamp and (unsound or not reordered):
                            self._lost += 1
                            yield previous or frame, lost
                    last = stamp
                yield frame, stamp
                previous = frame

    def _describe_damage(self):
        decoded = len(self._times)
        declared = self.info.declared_frames - self._cut_away
        found = []
        if self._stop:
            found.append(f"decoding stops after frame {decoded}: {self._stop}")
        elif decoded < declared:
            found.append(f"{decoded} of {declared} frames can be decoded")
        if self._lost:
            found.append(f"lost frames, each replaced by the one before it: {self._lost}")
        if self._damaged:
            found.append(f"damaged frames: {self._damaged}")
        if self._error and not found:
            found.append(self._error)
        return "; ".join(found)

    def _convert(self, frame):
        if self._size is not None:
            width = height = self._size
        else:
            width, height = self.info.width, self.info.height
            if self._quarter_turns % 2:
                width, height = height, width
        resized = self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=RESIZE_FLAGS, threads=1
        )
        upright = np.rot90(resized.to_ndarray(), self._quarter_turns)
        return np.ascontiguousarray(upright[:, ::-1] if self._mirrored else upright)


def decode_frames(
    path: str,
    size: int | None = FRAME_SIZE,
    *,
    fps: float | None = None,
    mirrored: bool = False,
) -> FrameStream:
    """Opens a video for reading frame by frame.

    Args:
        path: any file that FFmpeg reads.
        size: the whole frame, nothing cropped, is resized to `size x size`; None keeps its size.
        fps: resample to so many frames a second, by the rule of `gkcmn_tf.video.frame_rates`; None
            yields every frame.
        mirrored: whether left and right of every frame are swapped.

    Raises:
        FileNotFoundError: no such file.
        VideoError: not one frame can be decoded, or, while resampling, a time stamp lies too far
            ahead. A file that is damaged later yields what can be decoded and says so in
            `FrameStream.damage`.
        ValueError: `fps` is not more than 0.
    """
    return FrameStream(path, size, fps, mirrored=mirrored)


def probe(path: str) -> VideoInfo:
    """What a video declares, after decoding its first frame; raises as `decode_frames` does."""
    return decode_frames(path).info
