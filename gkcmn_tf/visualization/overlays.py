"""Draws tubes into a copy of their video and into a strip of still images."""

import functools
import os
import typing
from collections.abc import Iterator, Sequence

import numpy as np
import tqdm
from absl import logging
from PIL import Image

from gkcmn_tf.video import reading, sound, writing
from gkcmn_tf.video.packet_index import IndexMismatchError
from gkcmn_tf.visualization.drawing import (
    MORE_PREDICTED,
    PREDICTED,
    TEXT,
    TRUE,
    DrawnTube,
    draw_bar,
    draw_boxes,
    draw_text,
)
from gkcmn_tf.visualization.stills import Stills

if typing.TYPE_CHECKING:  # `Tube.draw` imports this package
    from gkcmn_tf.tubes import Tube

WHOLE_SECONDS = 60  # of longer videos, only an excerpt around the tube is shown
AROUND_SECONDS = 5


def draw_tubes(
    video_path: str,
    predicted: "Tube | Sequence[Tube]",
    *,
    num_frames: int,
    overlay_path: str | None = None,
    strip_path: str | None = None,
    query: str | None = None,
    true_tube: "Tube | None" = None,
    fps: float | None = None,
    mirrored: bool = False,
    num_stills: int = 8,
    max_side: int | None = None,
    max_bit_rate: int | None = None,
    excerpt: tuple[int, int] | None = None,
) -> None:
    """Draws tubes into a copy of their video, a strip of still images, or both.

    The copy (H.264 in MP4) keeps size, pixel aspect ratio, frame times and audio of the video. It
    shows the query and the frame number at the top, and a timeline with the segments and the
    current frame at the bottom. The strip has evenly spaced still images from shortly before to
    shortly after the tubes. For a full copy the video is decoded once, otherwise only the parts
    that are needed.

    Args:
        video_path: path of the video.
        predicted: one or several predicted tubes, drawn in different colours; may be empty if
            `true_tube` is given.
        num_frames: number of frames of the video, for the timeline.
        overlay_path: path of the MP4 to write.
        strip_path: path of the PNG to write.
        query: the sentence; default: the sentences of the tubes, in their colours if they differ.
        true_tube: true tube, drawn in another colour.
        fps: target frame rate if the tubes refer to a resampled video.
        mirrored: whether to flip the video horizontally if the tubes refer to the mirrored video.
        num_stills: maximum number of still images.
        max_side: maximum size of the longer side of the copy, in pixels; None for no limit.
        max_bit_rate: maximum video bit rate of the copy in bits per second; None for no limit.
        excerpt: range of frames `[begin, end)` to copy, without audio; None copies all frames.

    Raises:
        FileNotFoundError: the video does not exist.
        reading.VideoError: no frame can be decoded.
        ValueError: there is no tube or no output path, an output path is the video itself, a folder
            or the other output path, or a tube begins after the end of the video.
    """
    if overlay_path is None and strip_path is None:
        raise ValueError("expected overlay_path, strip_path, or both")
    check_output_paths(video_path, *filter(None, (overlay_path, strip_path)))
    predicted = [predicted] if not isinstance(predicted, Sequence) else list(predicted)
    drawn = _drawn_tubes(predicted, true_tube)
    captions = _captions(drawn, query)
    whole = overlay_path is not None and excerpt is None

    def draw(numbered_frames):
        stills = Stills(video_path, drawn, num_frames, num_stills) if strip_path else None
        copied = range(*excerpt) if excerpt else range(num_frames if whole else 0)
        stream = reading.decode_frames(video_path, size=None, fps=fps, mirrored=mirrored)
        wanted = sorted({*copied, *(stills.wanted if stills else ())})
        numbered = numbered_frames(stream, wanted)
        progress = tqdm.tqdm(numbered, desc="drawing", unit="frame", total=len(wanted))

        def frames() -> Iterator[writing.TimedFrame]:
            begin_time = 0 if whole else None
            for number, frame, duration in progress:
                if stills:
                    stills.take(number, frame, stream.pixel_aspect)
                # A full copy has all decoded frames, even if there are more than `num_frames`.
                if not (whole or number in copied):
                    continue
                time = stream.time_of(number)
                begin_time = time if begin_time is None else begin_time
                image = _scaled(Image.fromarray(frame), max_side)
                draw_text(image, [*captions, (f"frame {number}", TEXT)])
                scale = (image.width / frame.shape[1], image.height / frame.shape[0])
                draw_boxes(image, drawn, number, scale)
                draw_bar(image, drawn, number, num_frames)
                yield writing.TimedFrame(np.asarray(image), time - begin_time, duration)
            if stills and not stills.complete:
                count = stream.timeline.sample_count
                raise ValueError(f"{video_path}: has {count} frames, expected {num_frames}")

        if overlay_path:
            measured = (tube.video.fps for _, tube, _ in drawn if tube.video)
            writing.write_timed_video(
                overlay_path,
                frames(),
                fps or next(measured, stream.info.fps),
                time_base=stream.time_base,
                pixel_aspect=stream.pixel_aspect,
                sound_source=_sound(video_path, stream) if whole else None,
                max_bit_rate=max_bit_rate,
            )
        else:
            for _ in frames():
                pass
        if stills:
            stills.write(strip_path, ", ".join(text for text, _ in captions))
        if stream.damage:
            logging.warning("%s: %s", video_path, stream.damage)

    if whole:
        draw(_all_frames)
        return
    try:
        draw(_selected_frames)
    except IndexMismatchError:
        draw(functools.partial(_selected_frames, decode=True))


def excerpt_around(tube: "Tube") -> tuple[int, int] | None:
    """Frames `[begin, end)` around a tube with `video`; None for a video of at most a minute."""
    timeline = tube.video.timeline
    if timeline.end_time <= WHOLE_SECONDS:
        return None
    around = [tube.begin_seconds - AROUND_SECONDS, tube.end_seconds + AROUND_SECONDS]
    begin, end = np.searchsorted(timeline.times, around).tolist()
    return begin, end


def _all_frames(stream, _):
    """Yields the number, pixels and duration of all frames."""
    for number, frame in enumerate(stream):
        yield number, frame, stream.frame_duration


def _selected_frames(stream, wanted, *, decode=False):
    """Yields the number, pixels and duration of the wanted frames that the video has."""
    available = stream.read_timeline(decode=decode).sample_count
    wanted = [number for number in wanted if number < available]
    for number, frame in zip(wanted, stream.frames_at(wanted), strict=True):
        yield number, frame, stream.duration_of(number)


def check_output_paths(video_path: str, *paths: str) -> None:
    """Raises `ValueError` if writing `paths` would replace the video, a folder or each other."""
    real = [os.path.realpath(path) for path in paths]
    for number, path in enumerate(paths):
        if real[number] == os.path.realpath(video_path):
            raise ValueError(f"{path}: is the video itself; choose another path")
        if os.path.isdir(path):
            raise ValueError(f"{path}: is a folder; expected the path of a file to write")
        if real[number] in real[:number]:
            raise ValueError(f"{path}: is the path of the copy and of the strip; choose two paths")


def _drawn_tubes(predicted, true_tube):
    colors = [PREDICTED, *MORE_PREDICTED]
    drawn = [
        DrawnTube(
            "predicted" if len(predicted) == 1 else f"predicted {number + 1}",
            tube,
            colors[number % len(colors)],
        )
        for number, tube in enumerate(predicted)
    ]
    if true_tube is not None:
        drawn.append(DrawnTube("true", true_tube, TRUE))
    if not drawn:
        raise ValueError("expected a predicted tube, a true tube, or both")
    return drawn


def _captions(drawn, query):
    """Lines of text with their colour: the query, or the sentences of the tubes."""
    if query is not None:
        return [(query, TEXT)]
    sentences = [(tube.sentence, color) for _, tube, color in drawn if tube.sentence]
    if len({sentence for sentence, _ in sentences}) == 1:
        return [(sentences[0][0], TEXT)]
    return sentences


def _scaled(image, max_side):
    if max_side is None or max(image.size) <= max_side:
        return image
    scale = max_side / max(image.size)
    return image.resize([max(round(side * scale), 1) for side in image.size])


def _sound(video_path, stream):
    return sound.SoundSource(video_path, stream.start) if sound.has_sound(video_path) else None
