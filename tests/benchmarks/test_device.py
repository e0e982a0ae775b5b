"""The benchmark of the device at tiny sizes, and its table."""

import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks import table

ROOT = pathlib.Path(__file__).parents[2]
TINY = (
    "{data: {max_steps: 8, max_words: 4, grid_size: 3, feature_channels: 16}, "
    "model: {gkcmn: {word_width: 8, sentence_width: 8, fusion_width: 8, spatial_width: 4, "
    "temporal_width: 8}}}"
)


@pytest.mark.slow
def test_each_part_prints_its_measurements(tmp_path):
    path = tmp_path / "device.jsonl"
    sizes = ("--product_size=64", "--copy_mib=1", "--windows=1", "--batch_size=2", "--runs=1")
    subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.device", *sizes, "--precisions=float32"),
            *(f"--params_override={TINY}", f"--output={path}"),
        ],
        cwd=ROOT,
        check=True,
    )
    measured = [json.loads(line) for line in path.read_text().splitlines()]
    product, *copies, one, many, i3d, training = measured
    assert {copy["part"] for copy in copies} == {"copies"}
    assert [each["part"] for each in (one, many, i3d, training)] == [
        *("sentences", "sentences", "i3d", "training")
    ]
    assert product["gflop"] == pytest.approx(2 * 64**3 / 1e9)
    assert product["share_of_ceiling"] == pytest.approx(1)
    # The batch of two clips, forward and backward; the first layers see the video once.
    assert training["gflop"] == pytest.approx(3 * 2 * one["gflop"])
    assert 15 * one["gflop"] < many["gflop"] < 16 * one["gflop"]
    # The first convolution of I3D alone: 4 x 112 x 112 outputs, 7 x 7 x 7 x 3 x 64 products each.
    assert i3d["gflop"] > 2 * 4 * 112 * 112 * 7**3 * 3 * 64 / 1e9
    for each in measured:
        assert each["first_seconds"] > 0 and each["seconds"] > 0 and each["peak_memory_mib"] > 0
        assert each["runs"] == 1
    for each in (product, one, many, i3d, training):
        ceiling = product["gflop_per_second"]
        assert each["gflop_per_second"] == pytest.approx(each["gflop"] / each["seconds"])
        assert each["share_of_ceiling"] == pytest.approx(each["gflop_per_second"] / ceiling)
    lines = table.table([str(path)]).splitlines()
    assert len(lines) == 2 + 1 + len(measured)


def measurement(**changes):
    return {
        "part": "training",
        "what": "training step",
        "dtype": "bfloat16",
        "first_seconds": 20.0,
        "seconds": 0.25,
        "cpu_seconds": 0.125,
        "runs": 3,
        "gflop_per_second": 1234.0,
        "share_of_ceiling": 0.125,
        "peak_memory_mib": 2048.0,
        "device": "H100",
        "tensorflow": "2.20.0",
        "keras": "3.15.1",
        "date": "2026-11-27",
    } | changes


def test_table_names_each_machine_once(tmp_path):
    path = tmp_path / "device.jsonl"
    rows = [measurement(), measurement(share_of_ceiling=None), measurement(device="CPU")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = table.table([str(path)]).splitlines()[2:]
    assert lines[0].startswith("| **H100, TensorFlow 2.20.0, Keras 3.15.1, 2026-11-27** |")
    assert lines[1] == (
        "| training step | bfloat16 | 20 | 0.25 | 0.125 | 3 | 1,234 GFLOP/s | 12 % | 2,048 |"
    )
    assert lines[2].endswith(" GFLOP/s |  | 2,048 |")
    assert lines[3].startswith("| **CPU, ") and len(lines) == 5


def test_table_names_the_line_that_is_no_measurement(tmp_path):
    path = tmp_path / "device.jsonl"
    path.write_text(json.dumps(measurement()) + "\n{}\n")
    with pytest.raises(ValueError, match=r"device\.jsonl, line 2: expected a measurement"):
        table.table([str(path)])
    with pytest.raises(ValueError, match="expected files"):
        table.table([])
