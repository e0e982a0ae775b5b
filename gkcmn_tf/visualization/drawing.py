"""What overlays and panels are drawn with: colours, boxes, text, files."""

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

# Told apart by colour-blind people too; the dark edge shows on any background.
PREDICTED = (255, 159, 28)
TRUE = (86, 200, 255)
MORE_PREDICTED = ((204, 121, 167), (0, 158, 115), (240, 228, 66), (213, 94, 0))
EDGE = (0, 0, 0)
TEXT = (255, 255, 255)
TRACK = (70, 70, 70)
BAND = (0, 0, 0, 160)


def evenly(first, last, count):
    """At most `count` different integers, evenly spaced from `first` to `last`."""
    return np.unique(np.linspace(first, last, count).round().astype(int))


class DrawnTube(NamedTuple):
    """A tube, its name in pictures, and its colour."""

    name: str
    tube: "Tube"
    color: Color


def draw_boxes(
    image: Image.Image, drawn: Sequence[DrawnTube], number: int, scale: Sequence[float] = (1, 1)
) -> None:
    """Draws the boxes of frame `number` into a picture.

    Args:
        image: the frame.
        drawn: the tubes; the first goes on top.
        number: of the frame.
        scale: width and height of the picture by those that boxes are in.
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
    """Writes lines over a dark band at the top; long ones are wrapped."""
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
    """`line` broken between words, so that no part is wider than `width` pixels.

    A word that is wider, as a sentence of a language without spaces is, is broken anywhere.
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
    """A bar along the bottom that stands for the whole video, a lane for each tube."""
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
    """A title: white text on black, `[height, width, 3]`."""
    font, text = font_for(text, 14)
    wrapped = wrap(text, font, width - 8)
    blank = Image.new("RGB", (1, 1))
    *_, bottom = ImageDraw.Draw(blank).multiline_textbbox((4, 3), wrapped, font=font, spacing=3)
    image = Image.new("RGB", (width, round(bottom) + 5))
    ImageDraw.Draw(image).multiline_text((4, 3), wrapped, font=font, fill=TEXT, spacing=3)
    return np.asarray(image)


def write_png(path: str, image: np.ndarray) -> None:
    """Writes a PNG, whole or not at all."""
    with whole_file(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
