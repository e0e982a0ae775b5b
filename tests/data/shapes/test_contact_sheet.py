import json

import numpy as np
import pytest
from PIL import Image

from data import make_shapes
from data.shapes import contact_sheet as shapes_contact_sheet


@pytest.fixture(scope="module")
def shapes_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("shapes")
    make_shapes.make_shapes(str(root), num_videos=10, num_frames=48)
    return root


def test_a_row_shows_stills_with_boxes_only_in_the_true_segment(shapes_dir, tmp_path):
    path = tmp_path / "new" / "sheet.png"
    shapes_contact_sheet.write_contact_sheet(str(path), str(shapes_dir), videos=1, sentences=1)
    sheet = np.asarray(Image.open(path).convert("RGB")).astype(int)
    record = json.loads((shapes_dir / "annotations/test_annotations.json").read_text())[0]
    begin, end = record["used_segment"]["begin_fid"], record["used_segment"]["end_fid"]
    numbers = np.linspace(begin, end, shapes_contact_sheet.STILLS).round()
    truth = record["temporal_gt"]
    expected = (numbers >= truth["begin_fid"]) & (numbers < truth["end_fid"])
    stills = np.split(sheet, shapes_contact_sheet.STILLS, axis=1)
    distance = [np.abs(s - shapes_contact_sheet.BOX_COLOUR).max(axis=2) for s in stills]
    boxed = [(d < 25).sum() > 50 for d in distance]
    assert boxed == expected.tolist()
    assert any(boxed)
    assert [p.name for p in path.parent.iterdir()] == ["sheet.png"]


def test_an_empty_split_is_an_error(shapes_dir, tmp_path):
    empty = tmp_path / "annotations" / "test_annotations.json"
    empty.parent.mkdir()
    empty.write_text("[]")
    with pytest.raises(ValueError, match="contains no records"):
        shapes_contact_sheet.write_contact_sheet(str(tmp_path / "sheet.png"), str(tmp_path))
    assert not (tmp_path / "sheet.png").exists()
