"""Drawing primitives of overlays and panels: colours, boxes, text."""

import typing
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from gkcmn_tf.files import whole_file
from gkcmn_tf.visualization.fonts import font_for

if typing.TYPE_CHECKING:  # `Tube.draw` imports this package
    from gkcmn_tf.tubes import Tube

Color = tuple[int, int, int]

# Colours for colour-blind viewers; the dark edge is visible on any background.
PREDICTED = (255, 159, 28)
TRUE = (86, 200, 255)
MORE_PREDICTED = ((204, 121, 167), (0, 158, 115), (240, 228, 66), (213, 94, 0))
EDGE = (0, 0, 0)
TEXT = (255, 255, 255)
TRACK = (70, 70, 70)
BAND = (0, 0, 0, 160)


def evenly_spaced(first, last, count):
    """At most `count` distinct integers, evenly spaced from `first` to `last` (inclusive)."""
    return np.unique(np.linspace(first, last, count).round().astype(int))


class DrawnTube(NamedTuple):
    """A tube with its label and colour.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf import Tube
        >>> from gkcmn_tf.visualization.drawing import PREDICTED, DrawnTube
        >>> DrawnTube("predicted", Tube(3, 5, np.zeros([2, 4])), PREDICTED).name
        'predicted'

    Attributes:
        name: label of the tube.
        tube: the tube.
        color: RGB colour, 0 to 255.
    """

    name: str
    tube: "Tube"
    color: Color


def draw_boxes(
    image: Image.Image, drawn: Sequence[DrawnTube], number: int, scale: Sequence[float] = (1, 1)
) -> None:
    """Draws the boxes of a frame.

    Args:
        image: the frame, modified in place.
        drawn: the tubes; the first one is drawn on top.
        number: frame number.
        scale: scale factors from box coordinates to image pixels along x and y.
    """
    draw = ImageDraw.Draw(image)
    thickness = max(image.height // 90, 2)
    for _, tube, color in reversed(drawn):
        if tube.begin <= number < tube.end and tube.has_box[number - tube.begin]:
            x1, y1, x2, y2 = (tube.boxes[number - tube.begin] * np.tile(scale, 2)).tolist()
            corners = [x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)]
            draw.rectangle(corners, outline=EDGE, width=thickness + 2)
            inner = [x1 + 1, y1 + 1, max(corners[2] - 1, x1 + 1), max(corners[3] - 1, y1 + 1)]
            draw.rectangle(inner, outline=color, width=thickness)


def draw_text(image: Image.Image, lines: Sequence[tuple[str, Color]]) -> None:
    """Draws lines of text on a dark band at the top; wraps long lines."""
    draw = ImageDraw.Draw(image, "RGBA")
    size = max(image.height / 24, 10)
    placed, bottom = [], 0
    for line, color in lines:
        font, text = font_for(line, size)
        wrapped = wrap(text, font, image.width - 8)
        if not wrapped:
            continue
        placed.append((bottom, wrapped, font, color))
        *_, bottom = draw.multiline_textbbox((4, bottom + 2), wrapped, font=font)
    draw.rectangle([0, 0, image.width, bottom + 3], fill=BAND)
    for top, wrapped, font, color in placed:
        draw.multiline_text((4, top + 2), wrapped, font=font, fill=color)


def wrap(line: str, font, width: float) -> str:
    """Wraps `line` to a width of `width` pixels.

    Lines break between words. Words wider than `width`, such as sentences in languages without
    spaces, break between characters.
    """
    lines = [""]
    for word in line.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if lines[-1] and font.getlength(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return "\n".join(lines)


def draw_bar(image: Image.Image, drawn: Sequence[DrawnTube], number: int, num_frames: int) -> None:
    """Draws a timeline of the video at the bottom, with one row per tube."""
    draw = ImageDraw.Draw(image)
    lane = max(image.height // 50, 4)
    scale = image.width / num_frames
    top = image.height - lane * len(drawn)
    draw.rectangle([0, top - 2, image.width, image.height], fill=EDGE)
    for row, (_, tube, color) in enumerate(drawn):
        y = top + row * lane
        draw.rectangle([0, y, image.width, y + lane - 2], fill=TRACK)
        right = max(tube.end * scale - 1, tube.begin * scale)
        draw.rectangle([tube.begin * scale, y, right, y + lane - 2], fill=color)
    x = min((number + 0.5) * scale, image.width - 1)
    draw.rectangle([x - 1, top - 2, x + 1, image.height], fill=TEXT)


def title_bar(text: str, width: int) -> np.ndarray:
    """Renders white text on black: uint8 RGB `[height, width, 3]`."""
    font, text = font_for(text, 14)
    wrapped = wrap(text, font, width - 8)
    blank = Image.new("RGB", (1, 1))
    *_, bottom = ImageDraw.Draw(blank).multiline_textbbox((4, 3), wrapped, font=font, spacing=3)
    image = Image.new("RGB", (width, round(bottom) + 5))
    ImageDraw.Draw(image).multiline_text((4, 3), wrapped, font=font, fill=TEXT, spacing=3)
    return np.asarray(image)


def write_png(path: str, image: np.ndarray) -> None:
    """Writes a PNG atomically; `image` is uint8 `[height, width, 3]`."""
    with whole_file(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
