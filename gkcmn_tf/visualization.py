"""Pictures of what a model finds: tubes drawn into a video, stills of it, heatmaps."""

import itertools
import os
from collections.abc import Iterator

import numpy as np
import tqdm
from absl import logging
from PIL import Image, ImageDraw, ImageFont

from gkcmn_tf import video
from gkcmn_tf.tubes import Tube

# Told apart by colour-blind people too; the dark edge shows on any background.
PREDICTED = (255, 159, 28)
TRUE = (86, 200, 255)
EDGE = (0, 0, 0)
TEXT = (255, 255, 255)
TRACK = (70, 70, 70)
BAND = (0, 0, 0, 160)

STILL_HEIGHT = 240  # pixels
STILLS_PER_ROW = 4
CELL_PIXELS = 6
CANVAS_PIXELS = 96


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
    stream = video.decode_frames(video_path, size=None, fps=fps, mirrored=mirrored)
    named_tubes = _named_tubes(tube, true_tube)

    def draw(frames: Iterator[np.ndarray]):
        for number, frame in enumerate(frames):
            image = Image.fromarray(frame)
            _draw_text(image, f"{query}\nframe {number}")
            _draw_boxes(image, named_tubes, number)
            _draw_bar(image, named_tubes, number, num_frames)
            yield np.asarray(image)

    progress = tqdm.tqdm(stream, desc="overlay", unit="frame", total=num_frames)
    video.write_video(output_path, draw(progress), fps or stream.info.fps)
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
    stream = video.decode_frames(video_path, size=None, fps=fps, mirrored=mirrored)
    stills = []
    for number, frame in enumerate(itertools.islice(stream, int(wanted[-1]) + 1)):
        if number not in wanted:
            continue
        still = Image.fromarray(frame)
        inside = [name for name, t, _ in named_tubes if t.begin <= number < t.end]
        _draw_text(still, f"frame {number}" + "".join(f", {name}" for name in inside))
        _draw_boxes(still, named_tubes, number)
        width = round(still.width * STILL_HEIGHT / still.height)
        stills.append(np.asarray(still.resize((width, STILL_HEIGHT))))
    if len(stills) < len(wanted):
        raise ValueError(f"{video_path}: has {stream.count} frames, expected {num_frames}")
    rows = _rows(stills)
    _write_png(output_path, np.concatenate([_title(query, rows.shape[1]), rows]))


def heatmap_panel(predicted: np.ndarray, true: np.ndarray, num_steps: int = 8) -> np.ndarray:
    """Heatmaps of some steps side by side: the predicted ones above the true ones.

    The steps are evenly spaced over those with a true heatmap, over all if there is none.

    Args:
        predicted: `[T, L, L]`, in `[0, 1]`.
        true: `[T, L, L]`, in `[0, 1]`, zero at steps outside the true tube.
        num_steps: steps to show; fewer if there are not so many.

    Returns:
        uint8 RGB `[height, width, 3]`; black is 0, white is 1.
    """
    if predicted.shape != true.shape or predicted.ndim != 3:
        raise ValueError(
            f"expected heatmaps of one shape [T, L, L], got {predicted.shape} and {true.shape}"
        )
    annotated = np.flatnonzero(true.any(axis=(1, 2)))
    steps = annotated if annotated.size else np.arange(len(true))
    chosen = steps[_evenly(0, len(steps) - 1, num_steps)]
    rows = [_heat_row(heatmaps[chosen]) for heatmaps in (predicted, true)]
    title = f"steps {', '.join(map(str, chosen))}; above predicted, below true"
    return np.concatenate([_title(title, rows[0].shape[1]), *rows])


def tube_panel(
    predicted: tuple[np.ndarray, np.ndarray],
    true: tuple[np.ndarray, np.ndarray],
    num_steps: int,
    num_canvases: int = 8,
) -> np.ndarray:
    """Predicted and true boxes of some steps side by side, above a bar of both segments.

    The steps are evenly spaced over the clip; a box is drawn at steps whose centre lies in its
    segment.

    Args:
        predicted: the segment `[2]` in steps, and boxes `[T, 4]`, normalised.
        true: the same of the truth.
        num_steps: `T'`, the clip's steps.
        num_canvases: steps to show; fewer if there are not so many.

    Returns:
        uint8 RGB `[height, width, 3]`.
    """
    canvases = []
    for step in _evenly(0, num_steps - 1, num_canvases):
        canvas = Image.new("RGB", (CANVAS_PIXELS, CANVAS_PIXELS), EDGE)
        draw = ImageDraw.Draw(canvas)
        for (segment, boxes), color in ((true, TRUE), (predicted, PREDICTED)):
            if segment[0] <= step + 0.5 < segment[1]:
                x1, y1, x2, y2 = (boxes[step] * (CANVAS_PIXELS - 1)).tolist()
                draw.rectangle([x1, y1, max(x1, x2), max(y1, y2)], outline=color, width=2)
        canvases.append(np.pad(canvas, ((1, 1), (1, 1), (0, 0)), constant_values=TRACK[0]))
    row = np.concatenate(canvases, axis=1)
    scale = row.shape[1] / num_steps
    bars = Image.new("RGB", (row.shape[1], 16), EDGE)
    draw = ImageDraw.Draw(bars)
    for top, ((begin, end), _), color in ((1, predicted, PREDICTED), (9, true, TRUE)):
        draw.rectangle([begin * scale, top, max(end * scale - 1, begin * scale), top + 5], color)
    return np.concatenate([row, np.asarray(bars)])


def _rows(stills):
    """Stills of one size in rows of four, with a gap between them."""
    stills = [np.pad(still, ((2, 2), (2, 2), (0, 0))) for still in stills]
    columns = min(STILLS_PER_ROW, len(stills))
    stills += [np.zeros_like(stills[0])] * (-len(stills) % columns)
    grid = np.stack(stills).reshape(-1, columns, *stills[0].shape)
    return np.concatenate(np.concatenate(grid.swapaxes(0, 1), axis=2))


def _heat_row(heatmaps):
    """`[n, L, L]` to one RGB row, with a grey line around each map."""
    heat = np.clip(np.asarray(heatmaps, np.float64), 0, 1)[..., None]
    # From black over red and yellow to white.
    colors = np.round(255 * np.clip(3 * heat - np.arange(3), 0, 1)).astype(np.uint8)
    cells = colors.repeat(CELL_PIXELS, axis=1).repeat(CELL_PIXELS, axis=2)
    framed = [np.pad(cell, ((1, 1), (1, 1), (0, 0)), constant_values=TRACK[0]) for cell in cells]
    return np.concatenate(framed, axis=1)


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
    return _evenly(max(begin - margin, 0), last, count)


def _evenly(first, last, count):
    """At most `count` different integers, evenly spaced from `first` to `last`."""
    return np.unique(np.linspace(first, last, count).round().astype(int))


def _font(image):
    return ImageFont.load_default(max(image.height / 24, 10))


def _draw_boxes(image, named_tubes, number):
    draw = ImageDraw.Draw(image)
    thickness = max(image.height // 90, 2)
    # The prediction goes on top.
    for _, tube, color in reversed(named_tubes):
        if tube.begin <= number < tube.end:
            x1, y1, x2, y2 = tube.boxes[number - tube.begin].tolist()
            corners = [x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)]
            draw.rectangle(corners, outline=EDGE, width=thickness + 2)
            inner = [x1 + 1, y1 + 1, max(corners[2] - 1, x1 + 1), max(corners[3] - 1, y1 + 1)]
            draw.rectangle(inner, outline=color, width=thickness)


def _draw_text(image, text):
    """Writes `text` over a dark band at the top; long lines are wrapped."""
    font = _font(image)
    draw = ImageDraw.Draw(image, "RGBA")
    wrapped = "\n".join(_wrap(line, font, image.width - 8) for line in text.split("\n"))
    *_, bottom = draw.multiline_textbbox((4, 2), wrapped, font=font)
    draw.rectangle([0, 0, image.width, bottom + 3], fill=BAND)
    draw.multiline_text((4, 2), wrapped, font=font, fill=TEXT)


def _wrap(line, font, width):
    lines = [""]
    for word in line.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _draw_bar(image, named_tubes, number, num_frames):
    """A bar along the bottom that stands for the whole video, a lane for each tube."""
    draw = ImageDraw.Draw(image)
    lane = max(image.height // 50, 4)
    scale = image.width / num_frames
    top = image.height - lane * len(named_tubes)
    draw.rectangle([0, top - 2, image.width, image.height], fill=EDGE)
    for row, (_, tube, color) in enumerate(named_tubes):
        y = top + row * lane
        draw.rectangle([0, y, image.width, y + lane - 2], fill=TRACK)
        right = max(tube.end * scale - 1, tube.begin * scale)
        draw.rectangle([tube.begin * scale, y, right, y + lane - 2], fill=color)
    x = min((number + 0.5) * scale, image.width - 1)
    draw.rectangle([x - 1, top - 2, x + 1, image.height], fill=TEXT)


def _title(text, width):
    """White text on black, `[height, width, 3]`."""
    font = ImageFont.load_default(14)
    wrapped = _wrap(text, font, width - 8)
    height = 8 + 17 * (wrapped.count("\n") + 1)
    image = Image.new("RGB", (width, height))
    ImageDraw.Draw(image).multiline_text((4, 3), wrapped, font=font, fill=TEXT, spacing=3)
    return np.asarray(image)


def _write_png(path, image):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = f"{path}.tmp-{os.getpid()}"
    Image.fromarray(image).save(temporary, format="PNG")
    os.replace(temporary, path)
