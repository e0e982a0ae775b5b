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


def test_metrics_with_different_protocols_are_not_compared(tmp_path):
    one = write(tmp_path / "a.json")
    two = write(tmp_path / "b.json", protocol="sampled_5fps")
    with pytest.raises(ValueError, match="expected files with the same protocol"):
        metrics_table.table([f"GKCMN={one}", f"BM={two}"])
    with pytest.raises(ValueError, match=r"x\.json: expected TITLE=FILE"):
        metrics_table.table(["x.json"])


@pytest.mark.parametrize("content", ["[]", "{}", '{"overall": null}', '{"overall": {"m_tIoU": 1}}'])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json: overall: missing .*vIoU@0\.5; expected"):
        metrics_table.table([f"A={path}"])


def test_each_row_needs_a_file_and_a_title_of_its_own(tmp_path):
    with pytest.raises(ValueError, match="expected TITLE=FILE, FILE a metrics"):
        metrics_table.table([])
    one, two = write(tmp_path / "a.json"), write(tmp_path / "b.json")
    with pytest.raises(ValueError, match="the title 'A' occurs twice"):
        metrics_table.table([f"A={one}", f"A={two}"])


def test_the_table_is_in_percent():
    scores = {"m_tIoU": 0.4, "m_vIoU": 0.4, "vIoU@0.3": 1.0, "vIoU@0.5": 0.0, "m_sIoU": 0.4}
    rows = {"all": scores, "interrogative": dict.fromkeys(scores)}
    assert metrics_table.format_table(rows).splitlines() == [
        "| %             | m_tIoU | m_vIoU | vIoU@0.3 | vIoU@0.5 |",
        "| ------------- | -----: | -----: | -------: | -------: |",
        "| all           |  40.00 |  40.00 |   100.00 |     0.00 |",
        "| interrogative |      - |      - |        - |        - |",
    ]


def test_the_table_shows_intervals():
    table = metrics_table.format_table(
        {"all": {"m_vIoU": 0.5}, "none": {"m_vIoU": None}},
        columns=["m_vIoU"],
        intervals={"all": {"m_vIoU": [0.25, 0.7512]}, "none": None},
    )
    assert "| all  | 50.00 [25.00, 75.12] |" in table
    assert "| none |                    - |" in table
