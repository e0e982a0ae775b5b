"""Decodes videos into frames.

All decoding and resizing is done here, so that feature extraction and drawing use the same frames.
Frames are numbered from 0 in presentation order. All frames of the file are counted, except those
removed by an edit list. Optionally, a video is resampled to another frame rate by its time stamps
(`gkcmn_tf.video.frame_rates`).
"""

import dataclasses
import fractions
import heapq
import itertools
import math
import os
from collections.abc import Iterable, Iterator

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from gkcmn_tf.video import frame_rates
from gkcmn_tf.video.cropping import Cropping, read_cropping
from gkcmn_tf.video.packet_index import decode_frames_at, read_packets

FRAME_SIZE = 224

# swscale's bilinear filter widens its kernel for downscaling, which avoids aliasing. The other two
# flags make the results the same on every CPU.
RESIZE = "swscale bilinear"
RESIZE_FLAGS = int(Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT)

# Codecs with one frame per packet: a packet without a frame is a lost frame. Intact files of codecs
# that reorder frames may also miss frames, those that refer to frames removed by an edit list. For
# these codecs, frames count as lost only after a decoding error.
_REORDERED_FRAMES = ("h264", "hevc")
_ONE_FRAME_PACKETS = (*_REORDERED_FRAMES, "vp9", "av1")

# Resampling repeats a frame until the next one; a longer gap indicates a broken time stamp.
MAX_FRAME_SECONDS = 600

# Time stamps that go back by more than this start again, as in files that were joined byte by byte.
# FFmpeg's program and players compare with the same value.
RESTART = fractions.Fraction(1, 10)  # seconds

# Frames of more pixels are refused: a file of 100 bytes may declare frames of 1 GiB. 8K has half.
MAX_PIXELS = 2**26

# A resampled video may have this number of frames, or twice the frames of the file if that is more.
MAX_RESAMPLED_FRAMES = 20_000

# Transfer characteristics of high dynamic range, by their number in H.273.
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}

# Relative difference of the declared and the measured frame rate that is told to the user.
NOTICED_RATE = 0.05


class VideoError(ValueError):
    """A video cannot be decoded; the message names the file and the reason."""


def file_url(path: str | os.PathLike) -> str:
    """Returns a path as a URL of FFmpeg, which takes the `12` of `12:30.mp4` for a protocol."""
    return f"file:{os.fspath(path)}"


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """Properties declared by a video file.

    Example:
        >>> import gkcmn_tf
        >>> from gkcmn_tf.video.reading import probe
        >>> info = probe(gkcmn_tf.samples()[0].video)
        >>> info.width > 0 and info.fps > 0
        True

    Attributes:
        width: width in pixels after cropping and rotation to upright.
        height: height in pixels after cropping and rotation to upright.
        fps: frames per second.
        declared_frames: number of frames; 0 if unknown.
    """

    width: int
    height: int
    fps: float
    declared_frames: int


@dataclasses.dataclass(frozen=True)
class _Turn:
    """How to turn a stored frame upright: transpose it, then flip its columns and its rows."""

    transposed: bool
    columns_flipped: bool
    rows_flipped: bool

    @classmethod
    def of_frame(cls, frame: av.VideoFrame) -> "_Turn":
        """Reads the display matrix, `x' = a x + c y`, `y' = b x + d y`; any angle is rounded."""
        matrix = frame.side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
        if matrix is None:
            return cls(False, False, False)
        a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32)
        if abs(int(a)) + abs(int(d)) >= abs(int(b)) + abs(int(c)):
            return cls(False, bool(a < 0), bool(d < 0))
        return cls(True, bool(c < 0), bool(b < 0))

    def apply(self, frame: np.ndarray) -> np.ndarray:
        """Turns `[height, width, 3]` upright."""
        turned = frame.swapaxes(0, 1) if self.transposed else frame
        return turned[:: -1 if self.rows_flipped else 1, :: -1 if self.columns_flipped else 1]


class FrameStream:
    """Iterator over the frames of a video, decoded lazily; can be iterated once.

    Frames are uint8 RGB `[height, width, 3]`, as players show them: cropped as the container says
    and turned upright, except for the pixel aspect ratio. Memory use does not depend on the
    length of the video.

    Example:
        >>> import gkcmn_tf
        >>> from gkcmn_tf.video.reading import FrameStream
        >>> stream = FrameStream(gkcmn_tf.samples()[0].video, size=112, fps=2)
        >>> {frame.shape for frame in stream}
        {(112, 112, 3)}
        >>> stream.count == len(stream.timeline.source_frames)
        True

    Args:
        path: path of the video, in any format that FFmpeg reads.
        size: frames are resized to `size x size` without cropping; None keeps their size.
        fps: target frame rate; None yields every frame.
        mirrored: whether to flip frames horizontally.

    Attributes:
        info: properties declared by the file.
        count: number of frames yielded so far.
        damage: description of decoding errors, available after the last frame; empty if there are
            none. A lost frame is replaced by the previous one to keep frame numbers correct.

    Raises:
        FileNotFoundError: the file does not exist.
        VideoError: no frame can be decoded.
        ValueError: `fps` is not above 0.
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
        self._reformatter, self._crop_reformatter = VideoReformatter(), VideoReformatter()
        self._times = []
        self._source_frames = []
        self._last_duration = None
        self._packets = None
        self._error = self._stop = ""
        self._lost = self._damaged = self._cut_away = 0
        self._shift, self._next_stamp = 0, -math.inf  # of packets, in the time base of the stream
        self._container, self._stream = _open(path)
        stream = self._stream
        # AVI has no presentation time stamps, raw streams have none at all.
        self._is_raw = bool(self._container.format.flags & av.format.Flags.no_timestamps.value)
        self._has_times = self._container.format.name != "avi" and not self._is_raw
        # Copied, as below: PyAV reads freed memory once the file is closed.
        self._time_base, self._codec = stream.time_base, stream.codec.canonical_name
        decoded = self._decode()
        first = next(decoded, None)
        if first is None:
            if self._error:
                raise VideoError(f"{path}: no frame can be decoded: {self._error}")
            raise VideoError(f"{path}: contains no frames")
        self._pixel_aspect = stream.sample_aspect_ratio or fractions.Fraction(1)
        self._codec_rate = stream.codec_context.framerate
        self._file_start = self._container.start_time
        self._read_durations()
        # The average rate of a raw stream is always FFmpeg's default of 25.
        rate = (not self._is_raw and stream.average_rate) or stream.guessed_rate
        if not rate:
            raise VideoError(f"{path}: declares no frame rate")
        self._declared_rate = fractions.Fraction(rate)
        frame, stamp = first
        if not self._has_times:
            stamp = stream.start_time
        self._first_stamp = stamp or 0
        self._offset = self._find_offset()
        self._turn = _Turn.of_frame(frame)
        self._hdr = _HDR_TRANSFERS.get(frame.color_trc, "")
        self._cropping = read_cropping(stream)
        left, top, right, bottom = self._cropping.box(frame.width, frame.height)
        if left >= right or top >= bottom:
            raise VideoError(f"{path}: declares a cropping that leaves no picture")
        width, height = right - left, bottom - top
        if self._turn.transposed:
            width, height = height, width
        self.info = VideoInfo(width, height, float(rate), stream.frames)
        self._decoded = itertools.chain([first], decoded)

    @property
    def fps(self) -> float:
        """Frame rate of the yielded frames; final after the last frame.

        Without resampling, this is the declared frame rate, or the mean rate of the time stamps if
        the two differ by more than one frame at the end of the video.
        """
        return float(self._rate or self._file_rate())

    @property
    def frame_time(self) -> fractions.Fraction:
        """Time of the last yielded frame, in seconds after the start of the file."""
        return self.time_of(self.count - 1)

    @property
    def frame_duration(self) -> fractions.Fraction:
        """Duration of the last yielded frame as declared by the file, in seconds."""
        return 1 / self._rate if self._rate else self._last_duration or 1 / self._declared_rate

    def time_of(self, number: int) -> fractions.Fraction:
        """Time of a (resampled) frame found so far, in seconds after the start of the file."""
        return self._offset + (number / self._rate if self._rate else self._times[number])

    def duration_of(self, number: int) -> fractions.Fraction:
        """Time from a (resampled) frame to the next one in seconds, after `read_timeline`."""
        if self._rate or number == len(self._times) - 1:
            return self.frame_duration
        return self._times[number + 1] - self._times[number]

    @property
    def start(self) -> fractions.Fraction:
        """Time stamp of the start of the file, in seconds; 0 if it has none."""
        return self._first_stamp * self._time_base - self._offset

    def _find_offset(self):
        """Time of the first frame after the start of the file, where its earliest stream begins."""
        if self._file_start is None:
            return fractions.Fraction(0)
        start = fractions.Fraction(self._file_start, av.time_base)
        # FFmpeg rounds the start of the file to microseconds.
        ticks = round(self._first_stamp - start / self._time_base)
        return max(ticks, 0) * self._time_base

    @property
    def time_base(self) -> fractions.Fraction:
        """Unit of the time stamps in the file, in seconds."""
        return self._time_base

    @property
    def pixel_aspect(self) -> fractions.Fraction:
        """Pixel aspect ratio (width / height) of the upright frame; 1 if not declared."""
        return 1 / self._pixel_aspect if self._turn.transposed else self._pixel_aspect

    def _file_rate(self):
        declared, intervals = self._declared_rate, len(self._times) - 1
        if intervals < 1 or abs(self._times[-1] * declared - intervals) <= 1:
            return declared
        return intervals / self._times[-1] if self._times[-1] else declared

    @property
    def timeline(self) -> frame_rates.Timeline:
        """Frame times and sampled frames; available after the last frame."""
        times = [self._offset + time for time in self._times]
        return frame_rates.Timeline(
            times=np.array(times, np.float64),
            end_time=float(times[-1] + (self._last_duration or 1 / self._file_rate())),
            source_frames=None if self._rate is None else np.array(self._source_frames, np.int64),
        )

    @property
    def notices(self) -> list[str]:
        """What to tell the user of an intact file; available after the last frame."""
        found = []
        declared, measured = self.info.fps, float(self._file_rate())
        if abs(measured / declared - 1) > NOTICED_RATE:
            found.append(
                f"declares {declared:g} frames per second, but its time stamps say {measured:g}, "
                "which is used"
            )
        if self._is_raw and not self._codec_rate:
            found.append(
                f"does not say its frame rate; {declared:g} frames per second is a guess, so put "
                "it into a container with the right one if seconds matter"
            )
        if self._hdr:
            found.append(
                f"is HDR ({self._hdr}) and decoded as if it were SDR, so it looks pale and dark; "
                "convert it to SDR with tone mapping first"
            )
        return found

    @property
    def is_hdr(self) -> bool:
        """Whether the video has a high dynamic range (PQ or HLG)."""
        return bool(self._hdr)

    @property
    def source(self) -> frame_rates.SourceVideo:
        """Description of the file; available after the last frame."""
        return frame_rates.SourceVideo(
            self._path, self.info.width, self.info.height, float(self._file_rate()), self.timeline
        )

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            yield from self._resampled() if self._rate else self._all_frames()
        finally:
            self._close()
        self.damage = self._describe_damage()

    def _read_durations(self):
        """Reads the start and the duration, which some formats extend while they are read."""
        self._stream_start, self._stream_duration = self._stream.start_time, self._stream.duration
        self._file_duration = self._container.duration

    def _close(self):
        if self._container is not None:
            self._read_durations()
            self._container.close()
            self._container = self._stream = None

    def read_timeline(self, *, decode: bool = True) -> frame_rates.Timeline:
        """Finds the times of all frames, instead of iterating.

        Args:
            decode: whether to decode all frames. Otherwise the times are read from the packets of
                files that tell them, which is much faster, but damage is not found.
        """
        try:
            if not decode and (packets := self._read_packets()):
                self._packets = packets
                self._decoded = ((packet, packet.pts) for packet in packets)
            for _ in self._resampled(converts=False) if self._rate else self._timed():
                pass
        finally:
            self._close()
        if not self._packets:
            self.damage = self._describe_damage()
        return self.timeline

    def _read_packets(self):
        """Packets that tell all frames; None if there are none such."""
        certain = self._has_times and self._codec in _ONE_FRAME_PACKETS
        if not certain:
            return None
        container, stream = _open(self._path)
        with container:
            packets = read_packets(container, stream)
        return packets if packets and packets[0].pts == self._first_stamp else None

    def frames_at(self, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        """Yields some of the frames, after `read_timeline`.

        They are decoded from the nearest key frames if the times were read from the packets, else
        by decoding all frames up to the last of `numbers`; others are not converted to RGB.

        Args:
            numbers: numbers of (resampled) frames, in ascending order.

        Raises:
            IndexMismatchError: decoding finds other frames than the packets announce; read the
                timeline by decoding.
        """
        numbers = np.asarray(numbers, np.int64)
        if self._rate:
            numbers = np.array(self._source_frames)[numbers]
        wanted, repeats = np.unique(numbers, return_counts=True)
        if self._packets:
            decoded = decode_frames_at(*_open(self._path), self._packets, wanted.tolist())
        else:
            decoded = self._decode_again(set(wanted.tolist()))
        for frame, count in zip(decoded, repeats.tolist(), strict=True):
            converted = self._convert(frame)
            for _ in range(count):
                yield converted

    def _decode_again(self, wanted):
        stream = FrameStream(self._path, self._size)
        try:
            decoded = itertools.islice(stream._timed(), max(wanted) + 1)
            yield from (frame for number, frame in enumerate(decoded) if number in wanted)
        finally:
            stream._close()

    def _all_frames(self):
        for frame in self._timed():
            self.count += 1
            yield self._convert(frame)

    def _resampled(self, *, converts=True):
        """Yields each frame once per sample that shows it, when the next frame is known."""
        if converts and self._declared_seconds() * self._rate > MAX_RESAMPLED_FRAMES:
            self._check_all_times()
        shown = None
        for frame in self._timed():
            number, time = len(self._times) - 1, self._times[-1]
            self._check_time(self._times, number)
            if shown is not None:
                samples = frame_rates.first_sample(time, self._rate)
                yield from self._show(shown, number - 1, samples, converts)
            shown = frame
        samples = frame_rates.count_samples(time, self._rate)
        yield from self._show(shown, number, samples, converts)

    def _show(self, frame, number, until, converts):
        """Yields the frame for each sample up to `until` (exclusive)."""
        if self.count >= until:
            return
        converted = self._convert(frame) if converts else None
        while self.count < until:
            self.count += 1
            self._source_frames.append(number)
            yield converted

    def _declared_seconds(self):
        """Duration by the header of the file; 0 if unknown."""
        if self._stream_duration:
            return self._stream_duration * self._time_base
        return fractions.Fraction(self._file_duration or 0, av.time_base)

    def _check_all_times(self):
        """Checks the times of all frames before anything is computed with the first of them."""
        whole = FrameStream(self._path, None)
        whole.read_timeline(decode=False)
        for number in range(len(whole._times)):
            self._check_time(whole._times, number)

    def _check_time(self, times, number):
        """Raises `VideoError` if frame `number` is too late to be resampled."""
        time = times[number]
        if number and time - times[number - 1] > MAX_FRAME_SECONDS:
            raise VideoError(
                f"{self._path}: frame {number} appears {float(time):.0f} s after "
                f"the first and more than {MAX_FRAME_SECONDS} s after the previous frame; its "
                "time stamps cannot be resampled"
            )
        limit = max(MAX_RESAMPLED_FRAMES, 2 * (number + 1))
        if frame_rates.count_samples(time, self._rate) > limit:
            raise VideoError(
                f"{self._path}: the first {number + 1} frames last {float(time):.0f} s, so "
                f"that at {float(self._rate):g} frames per second they are more than {limit} frames"
                "; resample to a lower rate (--fps of data.prepare), or re-encode the video at an "
                "even frame rate"
            )

    def _timed(self):
        """Yields frames and appends their times to `_times`; fills in missing time stamps."""
        start = None
        for frame, stamp in self._decoded:
            previous = self._times[-1] if self._times else fractions.Fraction(0)
            if stamp is None:
                time = previous + 1 / self._declared_rate if self._times else previous
            else:
                start = stamp - previous / self._time_base if start is None else start
                time = (stamp - start) * self._time_base
            self._times.append(max(time, previous))
            tick = frame.time_base or self._time_base
            self._last_duration = 0 if self._is_raw else (frame.duration or 0) * tick
            yield frame

    def _decode(self):
        """Yields frames with their time stamp in the stream's time base, None if there is none.

        After a decoding error, the number of lost frames is determined from the time stamps of the
        packets. Without time stamps, decoding stops, as later frames could not be numbered.
        """
        certain = self._has_times and self._codec in _ONE_FRAME_PACKETS
        reordered = self._codec in _REORDERED_FRAMES
        waiting = []  # time stamps of packets without a decoded frame so far
        previous = last = None
        packets = self._container.demux(self._stream)
        while True:
            packet = None
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                self._continue_stamps(packet)
                self._cut_away += packet.is_discard
                if packet.pts is None:
                    # The final packet is empty and has no time stamp.
                    certain = certain and not packet.size
                elif not packet.is_discard:
                    heapq.heappush(waiting, packet.pts)
                frames = packet.decode()
            except av.FFmpegError as error:
                self._error = self._error or error.strerror
                if packet is None or not certain:  # later frames cannot be read or numbered
                    self._stop = error.strerror
                    return
                continue
            for frame in frames:
                stamp = frame.pts if self._has_times else None if self._is_raw else frame.dts
                self._damaged += frame.is_corrupt
                if certain and stamp is not None:
                    has_errors = self._error or self._damaged
                    if reordered and has_errors and last is not None and stamp < last:
                        # Out of order due to a missing key frame; already replaced.
                        continue
                    while waiting and waiting[0] <= stamp:
                        lost = heapq.heappop(waiting)
                        if lost < stamp and (has_errors or not reordered):
                            self._lost += 1
                            yield previous or frame, lost
                    last = stamp
                yield frame, stamp
                previous = frame

    def _continue_stamps(self, packet):
        """Shifts the time stamps of a packet if those of the file started again."""
        if packet.dts is None:
            return
        back = self._next_stamp - packet.dts - self._shift
        if back * self._time_base > RESTART:
            self._shift += back
        if self._shift:
            packet.dts += self._shift
            packet.pts = None if packet.pts is None else packet.pts + self._shift
        self._next_stamp = packet.dts + (packet.duration or 0)

    def _describe_damage(self):
        decoded = len(self._times)
        declared = self.info.declared_frames - self._cut_away
        found = []
        if self._stop:
            found.append(f"decoding stops after frame {decoded}: {self._stop}")
        elif decoded < declared and not self._is_whole():
            found.append(f"{decoded} of {declared} frames can be decoded")
        if self._lost:
            found.append(f"lost frames, each replaced by the previous frame: {self._lost}")
        if self._damaged:
            found.append(f"damaged frames: {self._damaged}")
        if self._error and not found:
            found.append(self._error)
        return "; ".join(found)

    def _is_whole(self):
        """Whether the frames last as long as the file declares.

        Then missing frames were never there: an edit list cuts them away, or AVI has empty chunks.
        """
        frame = 1 / self._file_rate()
        if not self._has_times:
            # FFmpeg estimates the duration of AVI from the size of the file. After the last frame,
            # fewer empty chunks may follow than lie between two frames.
            missing = self.info.declared_frames - (self._times[-1] + frame) * self._declared_rate
            return missing < 0.5
        reached = self._times[-1] + (self._last_duration or frame)
        if not self._stream_duration:
            return False
        end = (self._stream_start or 0) + self._stream_duration - self._first_stamp
        return reached > end * self._time_base - frame / 2

    def _convert(self, frame):
        if self._size is not None:
            width = height = self._size
        else:
            width, height = self.info.width, self.info.height
            if self._turn.transposed:
                width, height = height, width
        if self._cropping != Cropping():
            frame = self._cropped(frame)
        resized = self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=RESIZE_FLAGS, threads=1
        )
        upright = self._turn.apply(resized.to_ndarray())
        return np.ascontiguousarray(upright[:, ::-1] if self._mirrored else upright)

    def _cropped(self, frame):
        whole = self._crop_reformatter.reformat(
            frame, format="rgb24", interpolation=RESIZE_FLAGS, threads=1
        )
        left, top, right, bottom = self._cropping.box(frame.width, frame.height)
        pixels = np.ascontiguousarray(whole.to_ndarray()[top:bottom, left:right])
        return av.VideoFrame.from_ndarray(pixels, format="rgb24")


def _open(path):
    """Returns the container and the video stream of a file."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file")
    if not (os.path.isfile(path) or os.path.isdir(path)):
        raise VideoError(f"{path}: cannot be opened as a video: is not a regular file")
    try:
        container = av.open(file_url(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path}: cannot be opened as a video: {error.strerror}") from error
    if container.format.name == "tty":
        # FFmpeg draws the characters of a text file as frames.
        raise VideoError(f"{path}: is a text file, not a video")
    # The default stream of players, not a cover picture.
    stream = container.streams.best("video")
    if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
        raise VideoError(f"{path}: has no video stream")
    if stream.codec_context is None:
        raise VideoError(f"{path}: cannot be decoded: unknown codec")
    if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
        raise VideoError(
            f"{path}: has frames of {stream.codec_context.width}x{stream.codec_context.height}, "
            f"expected at most {MAX_PIXELS} pixels; make a smaller copy"
        )
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # of frames that grow later
    stream.thread_type = "AUTO"
    # Return damaged frames, which some decoders drop by default.
    stream.codec_context.flags |= av.codec.context.Flags.output_corrupt
    # Crop exactly; by default, decoders crop the left side in steps of the CPU's vectors.
    stream.codec_context.flags |= av.codec.context.Flags.unaligned
    return container, stream


def decode_frames(
    path: str,
    size: int | None = FRAME_SIZE,
    *,
    fps: float | None = None,
    mirrored: bool = False,
) -> FrameStream:
    """Opens a video for decoding frame by frame.

    Args:
        path: path of the video, in any format that FFmpeg reads.
        size: frames are resized to `size x size` without cropping; None keeps their size.
        fps: target frame rate (see `gkcmn_tf.video.frame_rates`); None yields every frame.
        mirrored: whether to flip frames horizontally.

    Raises:
        FileNotFoundError: the file does not exist.
        VideoError: no frame can be decoded, or, while resampling, the gap between two time stamps
            is more than `MAX_FRAME_SECONDS`, or frames are repeated so often that there are more
            than `MAX_RESAMPLED_FRAMES` and more than twice those of the file. Other damage is
            reported in `FrameStream.damage`.
        ValueError: `fps` is not above 0.
    """
    return FrameStream(path, size, fps, mirrored=mirrored)


def probe(path: str) -> VideoInfo:
    """Reads the properties of a video; raises the same errors as `decode_frames`."""
    return decode_frames(path).info


def read_timeline(path: str) -> frame_rates.Timeline:
    """Decodes a video for the times of its frames; raises the same errors as `decode_frames`."""
    return decode_frames(path).read_timeline()
