"""The paper's tables from metrics of invented runs."""

import contextlib
import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

from gkcmn_tf import config as configs
from gkcmn_tf.evaluation import paper_tables, studies
from gkcmn_tf.files import read_json, write_json
from gkcmn_tf.records import clip_records
from gkcmn_tf.records.clip_records import Clip, Sentence


def scores(m_viou, m_tiou=0.5, better_videos=0.0):
    overall = {"m_tIoU": m_tiou, "m_vIoU": m_viou, "vIoU@0.3": 0.4, "vIoU@0.5": 0.25}
    shifts = np.array([better_videos, -better_videos])  # of two videos of one sentence each
    return {
        "found": overall,
        "given": overall | {"m_tIoU": 1.0, "m_vIoU": 2 * m_viou},
        "videos": {
            "sentences": [1, 1],
            "found": (m_viou + shifts).tolist(),
            "given": (2 * m_viou + shifts).tolist(),
        },
    }


@pytest.fixture
def all_scores():
    return {name: [scores(0.2), scores(0.3)] for name in studies.VARIANTS} | {
        "bm": [scores(0.05), scores(0.05)],
        "without_mn": [scores(0.1), scores(0.3)],
        "without_ta": [scores(0.25), scores(0.3)],
    }


def test_rows_contain_mean_standard_deviation_and_the_papers_results(all_scores):
    text = paper_tables.format_tables(all_scores, [0, 1])
    found = "| 50.00 ± 0.00 | {} | 40.00 ± 0.00 | 25.00 ± 0.00 | {} |"
    # Sample deviation of 20 and 30.
    assert (
        "| GKCMN " + found.format("25.00 ± 7.07", "55.01 | 19.26 | 23.53 | 15.41")
    ) in text.split("### Table 2")[0]
    head = text.split("###")[0]
    assert "**another data set**" in head
    assert "**Whole clip as answer**, without a model: m_tIoU 39.45 / 39.81" in head
    assert "| BM " + found.format("5.00 ± 0.00", "32.62 | 7.21 | 9.03 | 3.87") in text
    assert "| w/o SK " + found.format("25.00 ± 7.07", "54.95 | 18.29 | 22.68 | 14.27") in text


def test_table_2_uses_the_temporal_ground_truth(all_scores):
    text = paper_tables.format_tables(all_scores, [0, 1])
    table = text.split("### Table 2")[1].split("###")[0]
    assert "m_tIoU" not in table
    assert (
        "| GKCMN | 50.00 ± 14.14 | 40.00 ± 0.00 | 25.00 ± 0.00 | 37.25 | 52.67 | 34.51 |" in table
    )


def test_differences_have_an_interval_and_a_verdict_for_at_least_six_seeds():
    values = {name: np.full(6, 0.2) for name in studies.PAPER} | {
        "without_mn": 0.2 - np.array([0.01, 0.02, 0.01, 0.02, 0.01, 0.02]),
        "without_ta": 0.2 + np.array([0.01, -0.01, 0.02, -0.02, 0.01, -0.01]),
    }
    runs = {name: [scores(v) for v in column] for name, column in values.items()}
    text = paper_tables.format_tables(runs, [*range(6)])
    # Differences of 1 and 2 points: standard error 0.2236, t of 5 degrees of freedom 2.5706.
    assert (
        "- w/o MN: -1.50 [-2.07, -0.93], p = 0.031: **worse**; "
        "given: -3.00 [-4.15, -1.85], p = 0.031: **worse**\n"
    ) in text
    assert "- w/o TA: +0.00 [-1.63, +1.63], p = 1.000: **not distinguishable**" in text
    two = {name: column[:2] for name, column in runs.items()}
    assert "p = 0.500: **fewer than 6 seeds: shows nothing**" in paper_tables.format_tables(
        two, [0, 1]
    )


def test_intervals_of_differences_include_the_scatter_over_videos():
    runs = {name: [scores(0.2)] * 6 for name in studies.PAPER}
    # One video is 4 points better without TA, the other 4 points worse: standard error 4.
    runs["without_ta"] = [scores(0.21, better_videos=0.04)] * 6
    text = paper_tables.format_tables(runs, [*range(6)])
    # 2.5706 is Student's t of 5 degrees of freedom.
    assert f"- w/o TA: +1.00 [{1 - 4 * 2.5706:+.2f}, {1 + 4 * 2.5706:+.2f}], p = 0.031" in text


def test_one_seed_has_no_standard_deviation_and_incomplete_tables_are_left_out():
    text = paper_tables.format_tables({"bm": [scores(0.1)], "full": [scores(0.2)]}, [7])
    assert "| GKCMN | 50.00 | 20.00 | 40.00 | 25.00 |" in text
    assert "Table 3" not in text and "leaves open" not in text


def test_the_open_study_has_one_table_without_the_papers_figures(all_scores):
    text = paper_tables.format_tables({name: all_scores[name] for name in studies.OPEN}, [0, 1])
    assert text.count("###") == 1 and "### What the paper leaves open\n" in text
    assert "VidSTG" not in text
    assert "| delta of 0.7 | 50.00 ± 0.00 | 25.00 ± 7.07 | 40.00 ± 0.00 | 25.00 ± 0.00 |" in text
    assert "- delta of 0.7: +0.00 [+0.00, +0.00]" in text


def test_the_features_study_compares_with_random_weights(all_scores):
    runs = {"random_i3d": all_scores["full"], "kinetics400": all_scores["bm"]}
    text = paper_tables.format_tables(runs, [0, 1])
    assert text.count("###") == 2
    assert "m_vIoU minus that of random I3D weights" in text
    assert "- Kinetics-400 I3D weights: -20.00 [" in text


def test_the_blind_study_prints_shares_of_the_full_model(all_scores):
    runs = {name: all_scores["bm"] for name in studies.BLIND} | {"full": all_scores["full"]}
    text = paper_tables.format_tables(runs, [0, 1])
    assert text.count("###") == 1 and "### Without a part of the input\n" in text
    rows = ("constant tube", "sentence only", "video only", "one frame only", "frames shuffled")
    for title in rows:
        assert f"| {title} | 50.00 ± 0.00 | 5.00 ± 0.00 |" in text
        assert f"\n- {title}: 20.0%\n" in text  # 5 of 25


def with_contrasts(auroc, word, moved=None):
    pairs = {"word": {"pairs": 7, "vIoU@0.3": word, "vIoU@0.5": word / 2, "tIoU@0.5": 0.9}}
    if moved is not None:
        pairs["moved"] = {"pairs": 3, "vIoU@0.3": 0.0, "vIoU@0.5": 0.0, "tIoU@0.5": moved}
    absent = {"sentences": 11, "AUROC": auroc, "false_alarms": 0.25, "misses": 0.1}
    return scores(0.2) | {"absent": absent, "pairs": pairs}


def test_absent_sentences_and_pairs_have_a_table_of_their_own():
    runs = {"full": [with_contrasts(0.5, 0.2, 0.1), with_contrasts(0.7, 0.4, 0.1)]}
    runs["bm"] = [scores(0.1), scores(0.1)]  # of a split without them
    table = paper_tables.format_tables(runs, [0, 1]).split("### Absent sentences")[1]
    assert "11 absent sentences, 7 word pairs, 3 moved pairs:" in table
    assert "|  | AUROC | false alarms | word vIoU@0.3 | word vIoU@0.5 | moved tIoU@0.5 |" in table
    assert (
        "| GKCMN | 60.00 ± 14.14 | 25.00 ± 0.00 | 30.00 ± 14.14 | 15.00 ± 7.07 | 10.00 ± 0.00 |"
    ) in table
    assert "BM" not in table
    without = paper_tables.format_tables({"full": [with_contrasts(0.5, 0.2)]}, [0])
    assert "| AUROC | false alarms | word vIoU@0.3 | word vIoU@0.5 |\n" in without


def metrics_json(m_viou):
    videos = {"b": {"sentences": 2, "m_vIoU": m_viou}, "a": {"sentences": 1, "m_vIoU": m_viou / 3}}
    return {
        "overall": {"m_tIoU": 0.5, "m_vIoU": m_viou, "vIoU@0.3": 0.4, "vIoU@0.5": 0.2},
        "per_video": videos,
        "protocol": "x",
    }


@pytest.fixture
def called(tmp_path, monkeypatch):
    """Calls of programs, which write metrics, while tables are made in `tmp_path`."""
    called = []

    def call(name, *arguments):
        called.append((name, arguments))
        output = dict(a.split("=", 1) for a in arguments if "=" in a).get("--output_dir")
        if output:
            write_json(f"{output}/metrics.json", metrics_json(0.1))

    flags = {
        "output_dir": str(tmp_path),
        "split": "test",
        "config_file": [],
        "params_override": None,
        "study": ["paper"],
        "seeds": ["4"],
        "variants": ["full"],
    }
    monkeypatch.setattr(paper_tables, "call", call)
    monkeypatch.setattr(paper_tables, "check_records", list)
    monkeypatch.setattr(paper_tables, "FLAGS", types.SimpleNamespace(**flags))
    return called


def test_a_constant_tube_is_evaluated_with_the_run_of_the_full_model(tmp_path, called):
    paper_tables.run_variant("constant", 4)
    assert [name for name, _ in called] == ["train", "evaluate", "evaluate"]
    assert f"--model_dir={tmp_path}/full/seed_4" in called[0][1]
    for _, arguments in called[1:]:
        assert f"--model_dir={tmp_path}/full/seed_4" in arguments
        assert arguments[-2:] == ("--trivial_guess", "--best_segment")
        assert arguments[2].startswith(f"--output_dir={tmp_path}/constant/seed_4")


def test_an_interrupted_run_is_evaluated_with_the_split_of_the_command(tmp_path, called):
    write_json(f"{tmp_path}/full/seed_4/metrics.json", metrics_json(0.9))
    paper_tables.FLAGS.split = "val"
    paper_tables.main(["paper_tables"])
    assert [name for name, _ in called] == ["train", "evaluate", "evaluate"]
    assert all("--split=val" in arguments for _, arguments in called[1:])
    results = read_json(f"{tmp_path}/full/seed_4.json")
    assert results["split"] == "val" and results["found"]["m_vIoU"] == 0.1


def test_results_of_a_run_are_in_one_file_which_suffices_for_the_tables(tmp_path, called, capsys):
    paper_tables.main(["paper_tables"])
    assert len(called) == 3
    table = capsys.readouterr().out
    assert (tmp_path / "tables.md").read_text() + "\n" == table
    results = read_json(str(tmp_path / "full" / "seed_4.json"))
    assert results["found"] == results["given"] == metrics_json(0.1)["overall"]
    values = [round(0.1 / 3, 5), 0.1]
    assert results["videos"] == {"sentences": [1, 2], "found": values, "given": values}
    assert results["config"]["train.seed"] == 4 and results["split"] == "test"
    assert "data.records_dir" not in results["config"]
    shutil.rmtree(tmp_path / "full" / "seed_4")
    paper_tables.main(["paper_tables"])
    assert len(called) == 3
    assert capsys.readouterr().out == table


@pytest.mark.parametrize(
    ("flag", "value", "key"),
    [
        ("split", "val", "split: 'test', not 'val'"),
        ("params_override", "train.steps=7", "train.steps: 50000, not 7"),
        ("params_override", "data.records_dir=elsewhere", None),
    ],
)
def test_results_of_another_config_are_refused(tmp_path, called, flag, value, key):
    paper_tables.main(["paper_tables"])
    setattr(paper_tables.FLAGS, flag, value)
    path = re.escape(str(tmp_path / "full" / "seed_4.json"))
    expected = pytest.raises(ValueError, match=f"^{path}: results of a run with another {key}")
    with expected if key else contextlib.nullcontext():
        paper_tables.main(["paper_tables"])
    assert len(called) == 3


def test_gkcmn_plus_has_a_separate_table_without_the_papers_results(all_scores):
    text = paper_tables.format_tables(all_scores | {"plus": [scores(0.3), scores(0.35)]}, [0, 1])
    table = text.split("### Beyond the paper\n")[1].split("###")[0]
    assert "| GKCMN+ | 50.00 ± 0.00 | 32.50 ± 3.54 | 40.00 ± 0.00 | 25.00 ± 0.00 |\n" in table
    assert "paper" not in table
    assert "- with Adam: +0.00 [" in table and "- GKCMN+: +7.50 [" in table
    without = {name: runs for name, runs in all_scores.items() if name != "plus"}
    assert "Beyond" not in paper_tables.format_tables(without, [0, 1])


@pytest.mark.parametrize("name", studies.VARIANTS)
def test_every_variant_has_its_config(name):
    variant = studies.VARIANTS[name]
    files, overrides = paper_tables.changes(variant, ["configs/shapes.yaml"], "data.records_dir=R")
    overrides = ",".join(filter(None, [overrides, "train.seed=3"]))
    config = configs.load(variant.experiment, files, overrides)
    plain = configs.load(variant.experiment, ["configs/shapes.yaml"], "data.records_dir=R")
    assert config.train.seed == 3
    changed = {
        key for key, value in configs.flat(config).items() if configs.flat(plain)[key] != value
    } - {"train.seed"}
    if name in ("bm", "full", "constant"):
        assert not changed
    elif name in studies.BLIND:
        assert changed == {"data.blind"}
        assert config.data.blind == name
    elif name == "plus":
        assert changed == {"train.optimizer", "model.gkcmn.interaction_width"}
    elif name in ("random_i3d", "adam"):
        assert not changed
    elif name == "kinetics400":
        assert changed == {
            "data.i3d_weights",
            "data.records_dir",
            "model.gkcmn.feature_dropout",
        }
        assert config.data.records_dir == "R_kinetics400"
    else:
        assert changed and all(key.startswith("model.gkcmn.") for key in changed)
        expected = {f"model.gkcmn.{key}": value for key, value in variant.settings.items()}
        assert {key: configs.flat(config)[key] for key in expected} == expected


def test_only_variants_of_the_study_can_be_chosen(tmp_path):
    command = [
        *(
            sys.executable,
            "-m",
            "gkcmn_tf.evaluation.paper_tables",
            f"--output_dir={tmp_path}/tables",
        ),
        *("--study=open", "--study=blind", "--variants=full,bm"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "--variants: ['bm'] not among ['full', 'sentence_max'," in done.stderr
    assert "'constant', 'sentence_only'" in done.stderr


def test_missing_records_are_an_error_before_the_first_training(tmp_path):
    boxes = np.zeros((2, 4), "float32")
    clip = Clip("v", 0, 8, 25.0, 64, 48, 8, (Sentence(0, "s", "a", "declarative", 0, 0, 2, boxes),))
    clip_records.write_clips(str(tmp_path), "train", [clip], 1)
    command = [
        *(
            sys.executable,
            "-m",
            "gkcmn_tf.evaluation.paper_tables",
            "--config_file=configs/shapes.yaml",
        ),
        *(f"--params_override=data.records_dir={tmp_path}", f"--output_dir={tmp_path}/tables"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "variant bm: " in done.stderr and "split 'test'" in done.stderr
    assert not (tmp_path / "tables").exists()
