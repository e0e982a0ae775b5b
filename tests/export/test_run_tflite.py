"""The runner compared with `gkcmn_tf.ground`, in this process and without TensorFlow."""

import json
import os
import pathlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from export import networks, run_tflite, tflite
from gkcmn_tf.features.quantization import as_stored
from tests.export.tiny_model import ground, make_flat_extractor, make_flat_i3d

ROOT = pathlib.Path(__file__).parents[2]
# All packages that the runner may import, in addition to the standard library and this project.
PACKAGES = ("ai_edge_litert", "numpy", "numpy.libs", "ml_dtypes", "av", "av.libs", "absl")
QUERIES = ["the red square moves left", "what is the blue flurble?"]


@pytest.fixture(scope="module")
def files(gkcmn, tmp_path_factory):
    """Paths of both files, by network."""
    folder = tmp_path_factory.mktemp("tflite")
    made = {
        "grounding": tflite.network_file(networks.grounding(gkcmn), "none"),
        "i3d": tflite.network_file(networks.of_i3d(gkcmn.features, make_flat_i3d()), "none"),
    }
    for network, content in made.items():
        (folder / f"{network}.tflite").write_bytes(content)
    return {network: str(folder / f"{network}.tflite") for network in made}


@pytest.fixture(scope="module")
def expected(gkcmn, video_path):
    """Output of `gkcmn_tf.ground`."""
    encoded = make_flat_extractor().extract(video_path)
    tubes = ground(gkcmn, encoded, QUERIES, 0, encoded.timeline.frame_count)
    return [
        replace(tube, sentence=q, video=encoded.source).to_json()
        for q, tube in zip(QUERIES, tubes, strict=True)
    ]


@pytest.fixture
def bare(tmp_path):
    """An environment in which only `PACKAGES` are installed."""
    site = pathlib.Path(np.__file__).parents[1]
    for name in PACKAGES:
        if (site / name).exists():
            (tmp_path / name).symlink_to(site / name)
    # -S excludes the packages of the environment of this Python.
    return [sys.executable, "-S"], {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}


def run_bare(bare, *arguments):
    command, environment = bare
    return subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def check_answers(found, expected):
    for answer, wanted in zip(map(dict, found), map(dict, expected), strict=True):
        boxes, wanted_boxes = answer.pop("boxes"), wanted.pop("boxes")
        assert answer.pop("score") == pytest.approx(wanted.pop("score"), abs=1e-3)
        assert answer == wanted
        assert list(boxes) == list(wanted_boxes)
        np.testing.assert_allclose(list(boxes.values()), list(wanted_boxes.values()), atol=0.1)


@pytest.mark.parametrize("package", ["tensorflow", "keras", "tf_keras"])
def test_the_bare_environment_has_no_tensorflow(bare, package):
    assert f"No module named '{package}'" in run_bare(bare, "-c", f"import {package}").stderr


def test_the_result_without_tensorflow_equals_that_of_ground(bare, files, video_path, expected):
    done = run_bare(
        bare,
        "-m",
        "export.run_tflite",
        f"--model={files['grounding']}",
        f"--i3d={files['i3d']}",
        f"--video={video_path}",
        *(f"--query={query}" for query in QUERIES),
    )
    assert done.returncode == 0, done.stderr
    assert "words that the model was not trained on: what, is, flurble" in done.stderr
    check_answers(map(json.loads, done.stdout.splitlines()), expected)


def test_a_query_without_words_is_refused(files):
    with pytest.raises(ValueError, match="contains no word"):
        run_tflite.Grounder(files["grounding"]).check_query(" ?! ")


def test_ten_thousand_words_are_cut_to_the_maximum(files):
    grounder = run_tflite.Grounder(files["grounding"])
    features, mask = np.ones((6, 7, 7, 3)), np.ones(6, bool)
    tokens = [
        grounder._tokenizer(query)
        for query in ("the red square moves left", "the red square moves left" + " blue" * 10_000)
    ]
    first, second = (grounder.decode(features, mask, each) for each in tokens)
    np.testing.assert_array_equal(first["boxes"], second["boxes"])


def encode(i3d, trained, video):
    return run_tflite.Encoder(i3d, trained).encode(video, lambda timeline: [0, 2]).features


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_features_are_rounded_as_in_training(files, gkcmn, video_path, tmp_path, dtype):
    plain = encode(files["i3d"], gkcmn.features, video_path)
    trained = gkcmn.features | {"storage_dtype": dtype}
    path = tmp_path / "i3d.tflite"
    path.write_bytes(tflite.network_file(networks.of_i3d(trained, make_flat_i3d()), "none"))
    rounded = encode(str(path), trained, video_path)
    np.testing.assert_array_equal(rounded, as_stored(plain, dtype))
    assert (rounded != plain).any()


def test_features_of_another_network_are_refused(files, gkcmn):
    with pytest.raises(ValueError, match=r"feature settings \['i3d_sha256'\] differ"):
        run_tflite.Encoder(files["i3d"], gkcmn.features | {"i3d_sha256": "1"})
    with pytest.raises(ValueError, match="contains the network 'grounding', expected 'i3d'"):
        run_tflite.Encoder(files["grounding"], gkcmn.features)


def test_the_error_for_a_damaged_model_names_it(files, tmp_path):
    content = bytearray(pathlib.Path(files["grounding"]).read_bytes())
    content[:64] = bytes(64)
    (tmp_path / "bad.tflite").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.tflite: cannot be loaded"):
        run_tflite.Grounder(str(tmp_path / "bad.tflite"))
