import json

import pytest

from gkcmn_tf.evaluation import metrics_table


def write(path, protocol="all_frames", sentences=3):
    means = {"m_tIoU": 0.5, "m_vIoU": 0.25, "vIoU@0.3": 1.0, "vIoU@0.5": 0.0, "m_sIoU": None}
    path.write_text(json.dumps({"protocol": protocol, "sentences": sentences, "overall": means}))
    return path


def test_table(tmp_path):
    one, two = write(tmp_path / "a.json"), write(tmp_path / "b.json")
    lines = metrics_table.table([f"GKCMN={one}", f"BM={two}"]).splitlines()
    assert lines[0] == "protocol all_frames, 3 sentences"
    assert [line.split("|")[1].strip() for line in lines if "50.00" in line] == ["GKCMN", "BM"]


def test_only_like_is_compared(tmp_path):
    one = write(tmp_path / "a.json")
    two = write(tmp_path / "b.json", protocol="sampled_5fps")
    with pytest.raises(ValueError, match="expected files of one protocol"):
        metrics_table.table([f"GKCMN={one}", f"BM={two}"])
    with pytest.raises(ValueError, match=r"x\.json: expected TITLE=FILE"):
        metrics_table.table(["x.json"])
