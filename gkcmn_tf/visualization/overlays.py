"""Tubes drawn into a copy of their video, and into a strip of stills."""

import itertools
from collections.abc import Iterator

import numpy as np
import tqdm
from absl import logging
from PIL import Image

from gkcmn_tf.tubes import Tube
from gkcmn_tf.video import reading, writing
from gkcmn_tf.visualization.drawing import (
    PREDICTED,
    TRUE,
    draw_bar,
    draw_boxes,
    draw_text,
    evenly,
    title_bar,
    write_png,
)

STILL_HEIGHT = 240  # pixels
STILLS_PER_ROW = 4


def write_overlay(
    video_path: str,
    output_path: str,
    tube: Tube | None,
    *,
    query: str,
    num_frames: int,
    true_tube: Tube | None = None,
    fps: float | None = None,
    mirrored: bool = False,
) -> None:
    """Writes a copy of a video with tubes drawn in, at its own size, one frame at a time.

    At the top stand the query and the frame's number; at the bottom a bar shows the predicted
    segment, below it the true one, and the current frame. One of the two tubes may be None.

    Args:
        video_path: the video.
        output_path: the MP4 to write, whole or not at all.
        tube: the prediction.
        query: the sentence.
        num_frames: frames of the video, for the bar.
        true_tube: drawn in another colour.
        fps: resample the video to so many frames a second, if tubes count such frames.
        mirrored: swap left and right of the video, if tubes are of the mirrored one.

    Raises:
        FileNotFoundError: no such video.
        video.VideoError: not one frame can be decoded.
    """
    stream = reading.decode_frames(video_path, size=None, fps=fps, mirrored=mirrored)
    named_tubes = _named_tubes(tube, true_tube)

    def draw(frames: Iterator[np.ndarray]):
        for number, frame in enumerate(frames):
            image = Image.fromarray(frame)
            draw_text(image, f"{query}\nframe {number}")
            draw_boxes(image, named_tubes, number)
            draw_bar(image, named_tubes, number, num_frames)
            yield np.asarray(image)

    progress = tqdm.tqdm(stream, desc="overlay", unit="frame", total=num_frames)
    writing.write_video(output_path, draw(progress), fps or stream.info.fps)
    if stream.damage:
        logging.warning("%s: %s", video_path, stream.damage)


def write_strip(
    video_path: str,
    output_path: str,
    tube: Tube | None,
    *,
    query: str,
    num_frames: int,
    true_tube: Tube | None = None,
    fps: float | None = None,
    mirrored: bool = False,
    num_stills: int = 8,
) -> None:
    """Writes a strip of stills, evenly spaced from a little before the tubes to a little after.

    One of the two tubes may be None.

    Args:
        video_path: the video.
        output_path: the PNG to write, whole or not at all.
        tube: the prediction.
        query: the sentence, written above the stills.
        num_frames: frames of the video.
        true_tube: drawn in another colour.
        fps: resample the video to so many frames a second, if tubes count such frames.
        mirrored: swap left and right of the video, if tubes are of the mirrored one.
        num_stills: how many; fewer if there are not so many frames.

    Raises:
        FileNotFoundError: no such video.
        video.VideoError: not one frame can be decoded.
        ValueError: the tubes begin behind the video's end.
    """
    named_tubes = _named_tubes(tube, true_tube)
    if any(t.begin >= num_frames for _, t, _ in named_tubes):
        raise ValueError(f"{video_path}: a tube begins behind the video's {num_frames} frames")
    wanted = _still_frames(named_tubes, num_frames, num_stills)
    stream = reading.decode_frames(video_path, size=None, fps=fps, mirrored=mirrored)
    stills = []
    for number, frame in enumerate(itertools.islice(stream, int(wanted[-1]) + 1)):
        if number not in wanted:
            continue
        still = Image.fromarray(frame)
        inside = [name for name, t, _ in named_tubes if t.begin <= number < t.end]
        draw_text(still, f"frame {number}" + "".join(f", {name}" for name in inside))
        draw_boxes(still, named_tubes, number)
        width = round(still.width * STILL_HEIGHT / still.height)
        stills.append(np.asarray(still.resize((width, STILL_HEIGHT))))
    if len(stills) < len(wanted):
        raise ValueError(f"{video_path}: has {stream.count} frames, expected {num_frames}")
    rows = _rows(stills)
    write_png(output_path, np.concatenate([title_bar(query, rows.shape[1]), rows]))


def _rows(stills):
    """Stills of one size in rows of four, with a gap between them."""
    stills = [np.pad(still, ((2, 2), (2, 2), (0, 0))) for still in stills]
    columns = min(STILLS_PER_ROW, len(stills))
    stills += [np.zeros_like(stills[0])] * (-len(stills) % columns)
    grid = np.stack(stills).reshape(-1, columns, *stills[0].shape)
    return np.concatenate(np.concatenate(grid.swapaxes(0, 1), axis=2))


def _named_tubes(tube, true_tube):
    named = [("predicted", tube, PREDICTED), ("true", true_tube, TRUE)]
    given = [entry for entry in named if entry[1] is not None]
    if not given:
        raise ValueError("expected a predicted tube, a true tube, or both")
    return given


def _still_frames(named_tubes, num_frames, count):
    begin = min(t.begin for _, t, _ in named_tubes)
    end = max(t.end for _, t, _ in named_tubes)
    margin = max((end - begin) // 6, 1)
    last = min(end + margin, num_frames) - 1
    return evenly(max(begin - margin, 0), last, count)
