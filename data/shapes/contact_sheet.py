"""Draws an overview image of a shapes data set: sentences with frames and ground-truth boxes."""

import os
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gkcmn_tf.files import read_json, whole_file
from gkcmn_tf.video.reading import decode_frames

STILLS = 8
LONG_CLIP = 100  # frames; in longer clips, some stills are taken from the segment alone
STILL_HEIGHT = 96
LINE_HEIGHT = 20
GUTTER = 3
SIDES = ("xmin", "ymin", "xmax", "ymax")
BOX_COLOUR = (0, 255, 255)
PAPER, INK = (255, 255, 255), (0, 0, 0)


def write_contact_sheet(
    path: str, dataset_dir: str, *, split: str = "test", videos: int = 3, sentences: int = 2
) -> None:
    """Writes a PNG with the first sentences of the first videos of a split.

    Each row shows one sentence: frames sampled evenly from its clip, with the ground-truth box in
    the frames of its segment.

    Args:
        path: output file.
        dataset_dir: data set written by `data.make_shapes`.
        split: split to draw.
        videos: number of videos.
        sentences: number of sentences per video, each from another record.

    Raises:
        ValueError: the split has no records.
    """
    annotations_path = os.path.join(dataset_dir, "annotations", f"{split}_annotations.json")
    records = read_json(annotations_path)
    if not records:
        raise ValueError(f"{annotations_path}: contains no records")
    rows = []
    for vid in list(dict.fromkeys(record["vid"] for record in records))[:videos]:
        (vidor_path,) = pathlib.Path(dataset_dir, "vidor").glob(f"*/*/{vid}.json")
        vidor = read_json(str(vidor_path))
        video_path = os.path.join(dataset_dir, "videos", vidor["video_path"])
        frames = list(decode_frames(video_path, size=None))
        shown = [record for record in records if record["vid"] == vid][:sentences]
        for number, record in enumerate(shown):
            # A record has a statement and usually a question; alternate between them.
            asked = (record["captions"] + record["questions"])[-(number % 2)]
            rows.append(_row(frames, vidor["trajectories"], record, asked))
    _save(path, rows)


def _row(frames, trajectories, record, asked):
    height, width, _ = frames[0].shape
    scale = STILL_HEIGHT / height
    pitch = round(width * scale) + GUTTER
    row = Image.new("RGB", (STILLS * pitch, LINE_HEIGHT + STILL_HEIGHT + 18), PAPER)
    draw = ImageDraw.Draw(row)
    begin, end = record["used_segment"]["begin_fid"], record["used_segment"]["end_fid"] + 1
    true_begin, true_end = (record["temporal_gt"][name] for name in ("begin_fid", "end_fid"))
    text = f"{asked['description']}  [{true_begin}, {true_end}) of [{begin}, {end})"
    draw.text((0, 2), text, INK, ImageFont.load_default(13))
    for place, number in enumerate(_numbers(begin, end, true_begin, true_end)):
        left = place * pitch
        still = Image.fromarray(frames[number]).resize((pitch - GUTTER, STILL_HEIGHT))
        row.paste(still, (left, LINE_HEIGHT))
        if true_begin <= number < true_end:
            boxes = {entry["tid"]: entry["bbox"] for entry in trajectories[number]}
            box = np.array([boxes[asked["target_id"]][side] for side in SIDES]) * scale
            # Drawn just outside the box, so that the object stays visible.
            margin = np.array([left - 2, LINE_HEIGHT - 2, left + 1, LINE_HEIGHT + 1])
            draw.rectangle(tuple(box.round() + margin), outline=BOX_COLOUR, width=2)
        draw.text((left, LINE_HEIGHT + STILL_HEIGHT + 2), str(number), INK)
    return row


def _numbers(begin, end, true_begin, true_end):
    """Returns the frames to show, int `[STILLS]`."""
    if end - begin <= LONG_CLIP:
        return np.linspace(begin, end - 1, STILLS).round().astype(int)
    inside = np.linspace(true_begin, true_end - 1, STILLS // 2)
    around = [begin, (begin + true_begin) / 2, (true_end + end) / 2, end - 1]
    return np.sort([*inside, *around]).round().astype(int)


def _save(path, rows):
    size = max(row.width for row in rows), sum(row.height for row in rows)
    sheet = Image.new("RGB", size, PAPER)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    # A palette reduces the file size; this method keeps rare colours, such as the objects'.
    few = sheet.quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    with whole_file(path) as temporary:
        few.save(temporary, format="PNG", optimize=True)
