"""Tubes drawn into a copy of their video, and into a strip of stills."""

import itertools
import os
import typing
from collections.abc import Iterator, Sequence

import numpy as np
import tqdm
from absl import logging
from PIL import Image

from gkcmn_tf.video import reading, sound, writing
from gkcmn_tf.visualization.drawing import (
    MORE_PREDICTED,
    PREDICTED,
    TEXT,
    TRUE,
    DrawnTube,
    draw_bar,
    draw_boxes,
    draw_text,
    evenly,
    title_bar,
    write_png,
)

if typing.TYPE_CHECKING:  # `Tube.draw` imports this package
    from gkcmn_tf.tubes import Tube

STILL_HEIGHT = 240  # pixels
STILLS_PER_ROW = 4


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
    """Draws tubes into a copy of their video, a strip of stills, or both while decoding it once.

    The copy (H.264 in MP4) has the size, the pixel aspect ratio, the frame times and the sound of
    the video. At the top stand the query and the frame's number; at the bottom a bar shows each
    tube's segment, and the current frame. The strip has stills evenly spaced from a little before
    the tubes to a little after.

    Args:
        video_path: the video.
        predicted: one tube or several, each in a colour of its own; may be empty beside a true one.
        num_frames: frames of the video, for the bar.
        overlay_path: the MP4 to write, whole or not at all.
        strip_path: the PNG to write, whole or not at all.
        query: the sentence; by default those of the tubes, in the tubes' colours if they differ.
        true_tube: drawn in another colour.
        fps: target frame rate, if tubes count frames of the resampled video.
        mirrored: swap left and right of the video, if tubes are of the mirrored one.
        num_stills: how many stills; fewer if there are not so many frames.
        max_side: scale a larger copy down to so many pixels on its longer side.
        max_bit_rate: of the copy's picture, in bits a second; None for what its quality takes.
        excerpt: copy frames `[begin, end)` only, without sound.

    Raises:
        FileNotFoundError: no such video.
        video.VideoError: not one frame can be decoded.
        ValueError: no tube; nothing to write; the copy would replace the video; or a strip is
            wanted, and the tubes begin after the video's end.
    """
    if overlay_path is None and strip_path is None:
        raise ValueError("expected overlay_path, strip_path, or both")
    if overlay_path and os.path.realpath(overlay_path) == os.path.realpath(video_path):
        raise ValueError(f"{overlay_path}: is the video itself; choose another name")
    predicted = [predicted] if not isinstance(predicted, Sequence) else list(predicted)
    drawn = _drawn_tubes(predicted, true_tube)
    captions = _captions(drawn, query)
    stills = _Stills(video_path, drawn, num_frames, num_stills) if strip_path else None
    first, end = (0, num_frames) if excerpt is None else excerpt
    stream = reading.decode_frames(video_path, size=None, fps=fps, mirrored=mirrored)
    last = max(end - 1 if overlay_path else 0, stills.wanted[-1] if stills else 0)
    # A whole copy has all frames, also those that the caller does not know of.
    whole = overlay_path is not None and excerpt is None
    decoded = stream if whole else itertools.islice(stream, int(last) + 1)
    progress = tqdm.tqdm(decoded, desc="drawing", unit="frame", total=int(last) + 1)

    def frames() -> Iterator[writing.TimedFrame]:
        begin_time = None
        for number, frame in enumerate(progress):
            if stills:
                stills.take(number, frame, stream.pixel_aspect)
            if overlay_path and (whole or first <= number < end):
                begin_time = stream.frame_time if begin_time is None else begin_time
                image = _scaled(Image.fromarray(frame), max_side)
                draw_text(image, [*captions, (f"frame {number}", TEXT)])
                scale = (image.width / frame.shape[1], image.height / frame.shape[0])
                draw_boxes(image, drawn, number, scale)
                draw_bar(image, drawn, number, num_frames)
                yield writing.TimedFrame(
                    np.asarray(image), stream.frame_time - begin_time, stream.frame_duration
                )
        if stills and not stills.complete:
            raise ValueError(f"{video_path}: has {stream.count} frames, expected {num_frames}")

    if overlay_path:
        writing.write_timed_video(
            overlay_path,
            frames(),
            fps or stream.info.fps,
            time_base=stream.time_base,
            pixel_aspect=stream.pixel_aspect,
            sound_source=_sound(video_path, stream) if excerpt is None else None,
            max_bit_rate=max_bit_rate,
        )
    else:
        for _ in frames():
            pass
    if stills:
        stills.write(strip_path, ", ".join(text for text, _ in captions))
    if stream.damage:
        logging.warning("%s: %s", video_path, stream.damage)


class _Stills:
    """The frames of a strip, taken as they come by."""

    def __init__(self, video_path, drawn, num_frames, count):
        if any(tube.begin >= num_frames for _, tube, _ in drawn):
            raise ValueError(f"{video_path}: a tube begins after the video's {num_frames} frames")
        self._drawn = drawn
        self._taken = []
        begin = min(tube.begin for _, tube, _ in drawn)
        end = max(tube.end for _, tube, _ in drawn)
        margin = max((end - begin) // 6, 1)
        last = min(end + margin, num_frames) - 1
        self.wanted = evenly(max(begin - margin, 0), last, count)

    @property
    def complete(self):
        return len(self._taken) == len(self.wanted)

    def take(self, number, frame, pixel_aspect):
        if number not in self.wanted:
            return
        still = Image.fromarray(frame)
        inside = [name for name, tube, _ in self._drawn if tube.begin <= number < tube.end]
        draw_text(still, [(", ".join([f"frame {number}", *inside]), TEXT)])
        draw_boxes(still, self._drawn, number)
        width = max(round(still.width * pixel_aspect * STILL_HEIGHT / still.height), 1)
        self._taken.append(np.asarray(still.resize((width, STILL_HEIGHT))))

    def write(self, path, title):
        """Stills of one size in rows of four, with a gap between them, below the title."""
        stills = [np.pad(still, ((2, 2), (2, 2), (0, 0))) for still in self._taken]
        columns = min(STILLS_PER_ROW, len(stills))
        stills += [np.zeros_like(stills[0])] * (-len(stills) % columns)
        grid = np.stack(stills).reshape(-1, columns, *stills[0].shape)
        rows = np.concatenate(np.concatenate(grid.swapaxes(0, 1), axis=2))
        write_png(path, np.concatenate([title_bar(title, rows.shape[1]), rows]))


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
    """Lines of text with their colour: the query, or each tube's sentence."""
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
