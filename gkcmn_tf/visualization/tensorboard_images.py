"""Image panels for TensorBoard: heatmaps and tubes."""

import numpy as np
from PIL import Image, ImageDraw

from gkcmn_tf.visualization.drawing import EDGE, PREDICTED, TRACK, TRUE, evenly_spaced, title_bar

CELL_PIXELS = 6
CANVAS_PIXELS = 96


def heatmap_panel(predicted: np.ndarray, true: np.ndarray, num_steps: int = 8) -> np.ndarray:
    """Draws predicted heatmaps above true heatmaps for several steps.

    The steps are evenly spaced over the steps with a true heatmap, or over all steps if there is
    none.

    Args:
        predicted: `[T, L, L]`, in `[0, 1]`.
        true: `[T, L, L]`, in `[0, 1]`, zero at steps outside the true tube.
        num_steps: maximum number of steps to show.

    Returns:
        uint8 RGB `[height, width, 3]`; black is 0, white is 1.
    """
    if predicted.shape != true.shape or predicted.ndim != 3:
        raise ValueError(
            f"expected heatmaps of the same shape [T, L, L], got {predicted.shape} and {true.shape}"
        )
    annotated = np.flatnonzero(true.any(axis=(1, 2)))
    steps = annotated if annotated.size else np.arange(len(true))
    chosen = steps[evenly_spaced(0, len(steps) - 1, num_steps)]
    rows = [_heat_row(heatmaps[chosen]) for heatmaps in (predicted, true)]
    title = f"steps {', '.join(map(str, chosen))}; above predicted, below true"
    return np.concatenate([title_bar(title, rows[0].shape[1]), *rows])


def tube_panel(
    predicted: tuple[np.ndarray, np.ndarray],
    true: tuple[np.ndarray, np.ndarray],
    num_steps: int,
    num_canvases: int = 8,
) -> np.ndarray:
    """Draws predicted and true boxes for several steps above a timeline of both segments.

    The steps are evenly spaced over the clip. A box is drawn if the centre of the step is inside
    the segment.

    Args:
        predicted: predicted segment `[2]` in steps, and boxes `[T, 4]`, normalised.
        true: true segment and boxes, likewise.
        num_steps: `T'`, number of steps of the clip.
        num_canvases: maximum number of steps to show.

    Returns:
        uint8 RGB `[height, width, 3]`.
    """
    canvases = []
    for step in evenly_spaced(0, num_steps - 1, num_canvases):
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


def _heat_row(heatmaps):
    """Converts heatmaps `[n, L, L]` to a row of RGB images with grey borders."""
    heat = np.clip(np.asarray(heatmaps, np.float64), 0, 1)[..., None]
    # Colour map: black, red, yellow, white.
    colors = np.round(255 * np.clip(3 * heat - np.arange(3), 0, 1)).astype(np.uint8)
    cells = colors.repeat(CELL_PIXELS, axis=1).repeat(CELL_PIXELS, axis=2)
    framed = [np.pad(cell, ((1, 1), (1, 1), (0, 0)), constant_values=TRACK[0]) for cell in cells]
    return np.concatenate(framed, axis=1)
