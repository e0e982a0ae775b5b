"""A picture of a shapes data set: sentences above stills with their true boxes."""

import os

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data import vidstg
from gkcmn_tf.records import Clip, Sentence
from gkcmn_tf.video import decode_frames

STILLS = 8
STILL_HEIGHT = 84
LINE_HEIGHT = 18
BOX_COLOUR = (0, 255, 255)
PAPER, INK = (255, 255, 255), (0, 0, 0)
PALETTE_SIZE = 64  # colours of the file, which keeps it small


def write_contact_sheet(
    path: str, dataset_dir: str, *, split: str = "test", videos: int = 3, sentences: int = 2
) -> None:
    """Draws the first sentences of the first videos from what is on disk, as a PNG.

    The row of a sentence has stills spaced evenly over its clip; those of its true segment carry
    the true box. Annotations are read as `data.prepare` reads them.

    Args:
        path: of the picture.
        dataset_dir: what `data.make_shapes` wrote.
        split: whose videos.
        videos: how many.
        sentences: how many a video, of different objects or times as far as there are.
    """
    vidor_paths = vidstg.find_vidor_annotations(os.path.join(dataset_dir, "vidor"))
    annotations = vidstg.read_split(
        split, os.path.join(dataset_dir, "annotations"), vidor_paths, limit=videos
    )
    chosen = {}
    for clip in annotations.clips:
        tubes = chosen.setdefault(clip.video_id, {})
        for sentence in clip.sentences:
            tube = (sentence.target_id, sentence.begin, sentence.end)
            # A statement and a question ask for each tube: show one of them, in turn.
            if sentence.qtype == ("declarative", "interrogative")[len(tubes) % 2]:
                tubes.setdefault(tube, (clip, sentence))
    rows = []
    for vid, tubes in chosen.items():
        frames = list(
            decode_frames(os.path.join(dataset_dir, "videos", annotations.videos[vid]), size=None)
        )
        rows += [_row(frames, *shown) for shown in list(tubes.values())[:sentences]]
    _save(path, rows)


def _row(frames: list[np.ndarray], clip: Clip, sentence: Sentence) -> Image.Image:
    width = round(STILL_HEIGHT * clip.width / clip.height)
    row = Image.new("RGB", (STILLS * (width + 2), LINE_HEIGHT + STILL_HEIGHT + 16), PAPER)
    draw = ImageDraw.Draw(row)
    font, small = ImageFont.load_default(13), ImageFont.load_default(10)
    span = f"frames {sentence.begin} to {sentence.end} of clip {clip.begin} to {clip.end}"
    draw.text((0, 1), f"{sentence.text}   [{span}]", INK, font)
    for place, number in enumerate(np.linspace(clip.begin, clip.end - 1, STILLS).round()):
        still = Image.fromarray(frames[int(number)])
        if sentence.begin <= number < sentence.end:
            box = sentence.boxes[int(number) - sentence.begin]
            # A box's right and bottom edges are exclusive, a drawn line's pixels are not.
            corners = tuple(box - [0, 0, 1, 1])
            ImageDraw.Draw(still).rectangle(corners, outline=BOX_COLOUR, width=3)
        still = still.resize((width, STILL_HEIGHT), Image.Resampling.LANCZOS)
        row.paste(still, (place * (width + 2), LINE_HEIGHT))
        draw.text(
            (place * (width + 2), LINE_HEIGHT + STILL_HEIGHT + 1), f"{number:.0f}", INK, small
        )
    return row


def _save(path, rows):
    sheet = Image.new(
        "RGB", (max(row.width for row in rows), sum(row.height for row in rows)), PAPER
    )
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = f"{path}.tmp-{os.getpid()}"
    few = sheet.quantize(PALETTE_SIZE, dither=Image.Dither.NONE)
    few.save(temporary, format="PNG", optimize=True)
    os.replace(temporary, path)
