"""The paper's tables from metrics of made-up runs."""

import pytest

from gkcmn_tf import paper_tables
from gkcmn_tf.atomic_files import write_json


def scores(m_viou, m_tiou=0.5):
    overall = {"m_tIoU": m_tiou, "m_vIoU": m_viou, "vIoU@0.3": 0.4, "vIoU@0.5": 0.25}
    return {"found": overall, "given": overall | {"m_tIoU": 1.0, "m_vIoU": 2 * m_viou}}


@pytest.fixture
def all_scores():
    return {name: [scores(0.2), scores(0.3)] for name in paper_tables.VARIANTS} | {
        "bm": [scores(0.05), scores(0.05)],
        "without_mn": [scores(0.1), scores(0.3)],
        "without_ta": [scores(0.25), scores(0.3)],
    }


def test_rows_are_mean_and_deviation_beside_the_papers_figures(all_scores):
    text = paper_tables.format_tables(all_scores, [0, 1])
    found = "| 50.00 ± 0.00 | {} | 40.00 ± 0.00 | 25.00 ± 0.00 | {} |"
    # Sample deviation of 20 and 30.
    assert (
        "| GKCMN " + found.format("25.00 ± 7.07", "55.01 | 19.26 | 23.53 | 15.41")
    ) in text.split("### Table 2")[0]
    assert "| BM " + found.format("5.00 ± 0.00", "32.62 | 7.21 | 9.03 | 3.87") in text
    assert "| w/o SK " + found.format("25.00 ± 7.07", "54.95 | 18.29 | 22.68 | 14.27") in text


def test_table_2_has_the_temporal_ground_truth(all_scores):
    text = paper_tables.format_tables(all_scores, [0, 1])
    table = text.split("### Table 2")[1].split("###")[0]
    assert "m_tIoU" not in table
    assert (
        "| GKCMN | 50.00 ± 14.14 | 40.00 ± 0.00 | 25.00 ± 0.00 | 37.25 | 52.67 | 34.51 |" in table
    )


def test_ablations_that_are_not_worse_are_named(all_scores):
    text = paper_tables.format_tables(all_scores, [0, 1])
    assert "- w/o MN: -5.00 ± 7.07\n" in text
    assert "- w/o TA: 2.50 ± 3.54: **not worse than the full model**" in text
    assert "- w/o SC: 0.00 ± 0.00: **not worse than the full model**" in text


def test_one_seed_has_no_deviation_and_a_table_needs_its_rows():
    text = paper_tables.format_tables({"bm": [scores(0.1)], "full": [scores(0.2)]}, [7])
    assert "| GKCMN | 50.00 | 20.00 | 40.00 | 25.00 |" in text
    assert "Table 3" not in text


def test_scores_are_read_from_a_runs_folder(tmp_path):
    write_json(str(tmp_path / "metrics.json"), {"overall": {"m_vIoU": 0.1}, "protocol": "x"})
    write_json(str(tmp_path / "given" / "metrics.json"), {"overall": {"m_vIoU": 0.2}})
    assert paper_tables.read_scores(str(tmp_path)) == {
        "found": {"m_vIoU": 0.1},
        "given": {"m_vIoU": 0.2},
    }


def test_every_ablation_has_its_config():
    for variant in paper_tables.VARIANTS.values():
        files = [f"{paper_tables.ABLATIONS}/{variant.ablation}.yaml"] if variant.ablation else []
        paper_tables.configs.load(variant.experiment, ["configs/shapes.yaml", *files])
