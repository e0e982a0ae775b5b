"""The scoring program, run from the command line without TensorFlow."""

import fractions
import json
import pathlib
import re
import subprocess
import sys

import pytest

from gkcmn_tf.files import read_json

ROOT = pathlib.Path(__file__).parents[2]
EDGE_CASES = pathlib.Path("tests/gkcmn_tf/edge_cases")
GT, PRED = EDGE_CASES / "gt.json", EDGE_CASES / "pred.json"
# As if neither was installed.
PROGRAM = """
import runpy, sys
sys.modules |= dict.fromkeys(["tensorflow", "keras"])
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def evaluate(*arguments, fails=False):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "gkcmn_tf.evaluate", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stdout + done.stderr


def by_hand():
    """Returns the table in the README of the edge cases: five exact numbers by sentence."""
    text = (ROOT / EDGE_CASES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \|[^|]+\|(.+)\|$", text, re.MULTILINE)
    return {
        name: [fractions.Fraction(cell.strip()) for cell in row.split("|")] for name, row in rows
    }


PROTOCOLS = {"all_frames": (0, 1), "sampled_5fps": (0, 2), "hcstvg": (3, 4)}


@pytest.fixture(scope="module", params=PROTOCOLS)
def scored(request, tmp_path_factory):
    """Returns `tIoU` and `vIoU` by sentence, computed with a protocol and by hand."""
    output = tmp_path_factory.mktemp(request.param) / "metrics.json"
    text = evaluate(
        f"--ground_truth={GT}",
        f"--predictions={PRED}",
        f"--protocol={request.param}",
        f"--output={output}",
    )
    tiou, viou = PROTOCOLS[request.param]
    worked = {name: {"tIoU": row[tiou], "vIoU": row[viou]} for name, row in by_hand().items()}
    return request.param, read_json(str(output)), text, worked


def test_each_edge_case_has_the_scores_of_its_table(scored):
    _, scores, _, worked = scored
    assert scores["per_sentence"].keys() == worked.keys()
    for name, expected in worked.items():
        found = scores["per_sentence"][name]
        assert {key: found[key] for key in expected} == pytest.approx(
            {key: float(value) for key, value in expected.items()}, abs=1e-12
        ), name


def test_means_and_shares_equal_exact_fractions(scored):
    protocol, scores, _, worked = scored
    assert scores["protocol"] == protocol
    qtypes = {entry["id"]: entry["qtype"] for entry in read_json(str(ROOT / GT))}
    for group in ("overall", "declarative", "interrogative"):
        rows = [row for name, row in worked.items() if group in ("overall", qtypes[name])]
        vious = [row["vIoU"] for row in rows]
        exact = {
            "m_tIoU": sum(row["tIoU"] for row in rows),
            "m_vIoU": sum(vious),
            "vIoU@0.3": sum(viou > fractions.Fraction(3, 10) for viou in vious),
            "vIoU@0.5": sum(viou > fractions.Fraction(5, 10) for viou in vious),
        }
        found = {key: scores[group][key] for key in exact}
        assert found == pytest.approx({key: float(v / len(rows)) for key, v in exact.items()})


def test_missing_predictions_are_counted_and_listed(scored):
    _, scores, text, _ = scored
    assert (scores["sentences"], scores["videos"]) == (27, 3)
    assert scores["missing_predictions"] == 3
    assert scores["unknown_predictions"] == 1
    assert scores["frames_without_box"] == 6
    assert "3 sentence(s) have no prediction and score 0, such as null, missing, empty" in text
    assert "such as unknown" in text


def test_the_table_contains_protocol_and_groups(scored):
    protocol, scores, text, _ = scored
    assert f"Protocol {protocol}, 27 sentences about 3 videos; in brackets 95% intervals" in text
    for title in ("all", "declarative", "interrogative"):
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {title} ")]
        group = "overall" if title == "all" else title
        assert f" {100 * scores[group]['m_vIoU']:.2f} [" in line


def test_without_an_output_flag_the_program_only_prints(tmp_path):
    text = evaluate(f"--ground_truth={GT}", f"--predictions={PRED}", "--bootstrap_samples=0")
    assert "Protocol all_frames, 27 sentences about 3 videos:" in text


@pytest.fixture
def pair(tmp_path):
    """Writes files of one sentence and returns their flags."""
    tube = {"begin": 3, "end": 4, "boxes": {"3": [0, 0, 8, 8]}}
    video = {"vid": "v.mp4", "width": 64, "height": 48, "fps": 25, "frame_count": 9}
    entry = {"id": "s", "qtype": "declarative", "clip": {"begin": 0, "end": 9}, "gt": tube} | video
    (tmp_path / "gt.json").write_text(json.dumps([entry]))
    (tmp_path / "pred.json").write_text(json.dumps({"s": tube | {"score": 0.5}}))
    return [f"--ground_truth={tmp_path}/gt.json", f"--predictions={tmp_path}/pred.json"]


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("train", [False, True])
def test_the_trivial_guess_for_a_file(given, train, pair, tmp_path):
    # The only true frame of 9 has the box [0, 0, 8, 8] of 64 x 48 pixels, which is also the mean.
    arguments = [pair[0], "--trivial_guess", f"--output={tmp_path}/metrics.json"]
    where, viou = f"{tmp_path}/gt.json, the scored file itself", 1.0
    if train:
        # A frame of half the height: the mean box is [0, 0, 4, 8] in the frame of the scored file.
        (entry,) = read_json(f"{tmp_path}/gt.json")
        entry |= {"height": 24, "gt": entry["gt"] | {"boxes": {"3": [0, 0, 4, 4]}}}
        where, viou = f"{tmp_path}/train.json", 0.5
        (tmp_path / "train.json").write_text(json.dumps([entry]))
        arguments.append(f"--train_ground_truth={where}")
    text = evaluate(*arguments, f"--temporal_ground_truth={given}")
    segment = "true segment" if given else "whole clip"
    assert f"Trivial guess: the {segment} with the mean box of {where}\n" in text
    scores = read_json(str(tmp_path / "metrics.json"))
    frames = 1 if given else 9
    assert scores["overall"]["m_tIoU"] == pytest.approx(1 / frames)
    assert scores["overall"]["m_vIoU"] == pytest.approx(viou / frames)
    assert scores["mean_box_of"] == where.partition(",")[0]


def test_the_trivial_guess_with_the_best_segment(pair, tmp_path):
    arguments = [pair[0], "--trivial_guess", "--best_segment", f"--output={tmp_path}/metrics.json"]
    # Frame 3 of 9 is 0.333 to 0.444 of the clip; 0.325 to 0.45, in 40ths, is the same in frames.
    assert "Trivial guess: the part 0.325 to 0.450 of the clip with the mean" in evaluate(
        *arguments
    )
    scores = read_json(str(tmp_path / "metrics.json"))
    assert scores["overall"]["m_vIoU"] == pytest.approx(1)
    assert scores["segment"] == [0.325, 0.45]


def test_hcstvgs_submission(pair, tmp_path):
    evaluate(*pair, "--protocol=hcstvg", f"--hcstvg_submission={tmp_path}/results.json")
    assert read_json(str(tmp_path / "results.json")) == {
        "v.mp4": {"st_frame": 4, "ed_frame": 4, "bbox": {"4": [0, 0, 8, 8]}}
    }


def test_a_group_without_sentences_is_null(pair, tmp_path):
    evaluate(*pair, f"--output={tmp_path}/metrics.json")
    scores = read_json(str(tmp_path / "metrics.json"))
    assert set(scores["interrogative"].values()) == {None}
    assert scores["confidence_intervals"]["overall"] is None


def test_the_error_for_an_invalid_file_names_it_and_nothing_is_written(pair, tmp_path):
    faulty = {"s": {"begin": 4, "end": 3, "boxes": {}, "score": 0.5}}
    (tmp_path / "pred.json").write_text(json.dumps(faulty))
    text = evaluate(*pair, f"--output={tmp_path}/metrics.json", fails=True)
    assert f"{tmp_path}/pred.json: sentence 's': end: expected begin <= end" in text
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected --model_dir, or --ground_truth with --predictions or --trivial_guess"),
        ([f"--ground_truth={GT}"], "--ground_truth with --predictions or --trivial_guess"),
        (
            [f"--ground_truth={GT}", f"--predictions={PRED}", "--trivial_guess"],
            "--trivial_guess: not with --ground_truth and --predictions",
        ),
        (
            [f"--ground_truth={GT}", "--trivial_guess", "--split=val"],
            "--split: not with --ground_truth and --trivial_guess",
        ),
        (["--model_dir=M", "--train_ground_truth=t.json"], "--train_ground_truth: not with"),
        (
            [f"--ground_truth={GT}", f"--predictions={PRED}", "--split=val"],
            "--split: not with --ground_truth and --predictions",
        ),
        (["--model_dir=M", "--best_segment"], "--best_segment: only with --trivial_guess"),
        (["--model_dir=M", "--output=m.json"], "--output: not with --model_dir"),
        ([f"--ground_truth={GT}", "--protocol=each"], "each"),
    ],
)
def test_incompatible_flags_are_errors(arguments, message):
    assert message in evaluate(*arguments, fails=True)
