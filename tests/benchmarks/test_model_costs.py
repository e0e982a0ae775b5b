"""The table of costs, with small networks."""

import json
import math
import pathlib
import subprocess
import sys

import pytest

from benchmarks import model_costs
from gkcmn_tf.i3d.variables import variable_shapes

ROOT = pathlib.Path(__file__).parents[2]


def test_a_row_has_operations_and_time_of_several_calls():
    measured = {"parameters": 12345, "gflop": 2.0, "seconds": 0.5, "cpu_seconds": 0.25}
    line = model_costs.row("I3D", measured | {"peak_memory_mib": 1234.5}, times=6.25)
    assert line == "| I3D | 12,345 | 12.5 | 3.12 | 1.56 | 1,234 |"
    batch = {"windows_per_second": 8.0, "seconds": 0.5}
    assert model_costs.windows(batch) == 4


@pytest.mark.slow
def test_bm_costs_less_than_gkcmn(tmp_path):
    sizes = {"word_width": 8, "sentence_width": 8, "fusion_width": 8}
    heads = {"spatial_width": 4, "temporal_width": 8}
    tiny = {
        "data": {"max_steps": 8, "max_words": 4},
        "model": {"gkcmn": sizes | heads, "bm": sizes},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps(tiny))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.model_costs", "--runs=1", f"--config_file={path}"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in done.stdout.splitlines()
        if line.startswith("|")
    ]
    titles = [row[0] for row in rows[2:]]
    assert titles == [
        "I3D, a second of video",
        *("BM: 1 sentence, 8 steps", "BM: 16 sentences, 8 steps"),
        *("GKCMN, GKCMN+: 1 sentence, 8 steps", "GKCMN, GKCMN+: 16 sentences, 8 steps"),
    ]
    i3d, bm, _, gkcmn, _ = rows[2:]
    # Kernels and biases up to Mixed_5c; means and variances are merged into them.
    merged = {
        name: shape
        for name, shape in variable_shapes().items()
        if name.endswith(("/w", "/beta")) and "Logits" not in name
    }
    assert i3d[1] == f"{sum(map(math.prod, merged.values())):,}"
    assert float(bm[2]) < float(gkcmn[2])
