"""What overlays and panels are drawn with: colours, boxes, text, files."""

import os

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Told apart by colour-blind people too; the dark edge shows on any background.
PREDICTED = (255, 159, 28)
TRUE = (86, 200, 255)
EDGE = (0, 0, 0)
TEXT = (255, 255, 255)
TRACK = (70, 70, 70)
BAND = (0, 0, 0, 160)


def evenly(first, last, count):
    """At most `count` different integers, evenly spaced from `first` to `last`."""
    return np.unique(np.linspace(first, last, count).round().astype(int))


def text_font(image):
    """The font for text on a picture."""
    return ImageFont.load_default(max(image.height / 24, 10))


def draw_boxes(image, named_tubes, number):
    """Draws the boxes of frame `number` of `(name, tube, colour)` into a picture."""
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


def draw_text(image, text):
    """Writes `text` over a dark band at the top; long lines are wrapped."""
    font = text_font(image)
    draw = ImageDraw.Draw(image, "RGBA")
    wrapped = "\n".join(wrap(line, font, image.width - 8) for line in text.split("\n"))
    *_, bottom = draw.multiline_textbbox((4, 2), wrapped, font=font)
    draw.rectangle([0, 0, image.width, bottom + 3], fill=BAND)
    draw.multiline_text((4, 2), wrapped, font=font, fill=TEXT)


def wrap(line, font, width):
    """`line` broken between words, so that no part is wider than `width` pixels."""
    lines = [""]
    for word in line.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def draw_bar(image, named_tubes, number, num_frames):
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


def title_bar(text, width):
    """A title: white text on black, `[height, width, 3]`."""
    font = ImageFont.load_default(14)
    wrapped = wrap(text, font, width - 8)
    height = 8 + 17 * (wrapped.count("\n") + 1)
    image = Image.new("RGB", (width, height))
    ImageDraw.Draw(image).multiline_text((4, 3), wrapped, font=font, fill=TEXT, spacing=3)
    return np.asarray(image)


def write_png(path, image):
    """Writes a PNG, whole or not at all."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = f"{path}.tmp-{os.getpid()}"
    Image.fromarray(image).save(temporary, format="PNG")
    os.replace(temporary, path)
