"""Checks of the examples in CONTRIBUTING.md, run by test_contributing in a copy that has them."""

import json

import numpy as np
import tensorflow as tf

from data import datasets, tracks
from export import frozen_graph, networks
from gkcmn_tf import cli, preset
from gkcmn_tf import config as configs
from gkcmn_tf.evaluation.studies import STUDIES
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.trained_model import TrainedModel
from gkcmn_tf.training import run_folder
from tests.export.tiny_model import C, T, make_extractor, make_model

SMALL = {"word_width": 8, "sentence_width": 8, "fusion_width": 8, "attention_heads": 2}


def test_the_ablation_is_part_of_its_study():
    assert STUDIES["open"]["without_br"].settings == {"boundary_regression": False}


def test_the_data_set_is_read_and_invalid_sentences_are_listed(tmp_path):
    good = {"video": "a.mp4", "text": "a dog runs.", "begin": 12, "boxes": [[1, 2, 30, 40]] * 3}
    good |= {"fps": 25, "width": 64, "height": 48, "frame_count": 50}
    bad = good | {"boxes": [[30, 2, 1, 40]]}
    (tmp_path / "train_tracks.json").write_text(json.dumps([good, bad]))
    assert datasets.READERS["tracks"] is tracks
    read = tracks.read_split("train", str(tmp_path), "videos")
    (clip,) = read.clips
    (sentence,) = clip.sentences
    assert (sentence.text, sentence.begin, sentence.end) == ("a dog runs.", 12, 15)
    np.testing.assert_array_equal(sentence.boxes, [[1, 2, 30, 40]] * 3)
    assert read.videos == {"a.mp4": "a.mp4"}
    (skipped,) = read.skipped
    assert skipped.id == "train-00001" and "boxes: expected" in skipped.reason
    account = tracks.account_split("train", str(tmp_path))
    assert (account.sentences["declarative"], len(account.skipped)) == (2, 1)


def test_the_head_is_built_from_a_config_and_saved_as_a_preset(tmp_path):
    settings = [f"model.mixed_bm.{name}={value}" for name, value in SMALL.items()]
    settings += [f"data.max_steps={T}", f"data.feature_channels={C}"]
    config = configs.load("mixed_bm", params_override=",".join(settings))
    tokenizer = Tokenizer(("dog", "runs"), config.data.max_words)
    model = run_folder.build_model(config, tokenizer.vocabulary_size)
    trained = TrainedModel(model, tokenizer, make_extractor().fingerprint, T, {"name": "mixed"})
    preset.save(trained, str(tmp_path / "preset"), weights="float32")
    loaded = preset.load(str(tmp_path / "preset")).model
    inputs = {
        "features": np.random.default_rng(0).random((1, T, 7, 7, C)).astype("float32"),
        "step_mask": np.ones((1, T), bool),
        "tokens": np.array([[[2, 3]]]),
    }
    for name, value in model(inputs).items():
        np.testing.assert_allclose(loaded(inputs)[name], value, atol=1e-5)


def test_the_frozen_graph_computes_what_the_network_does():
    assert cli.COMMANDS["export frozen-graph"] == "export.frozen_graph"
    network = networks.grounding(make_model())
    rng = np.random.default_rng(0)
    inputs = {
        "features": tf.constant(rng.random((1, T, 7, 7, C)), tf.float32),
        "step_mask": tf.ones((1, T), tf.int32),
        "tokens": tf.constant([[2, 3, 4, 0, 0]], tf.int32),
    }
    frozen = frozen_graph.freeze(network)
    found = frozen(**inputs)
    assert not any(node.op == "VarHandleOp" for node in frozen.graph.as_graph_def().node)
    values = sorted(np.ravel(np.concatenate([np.ravel(value) for value in found])))
    expected = network.function(**inputs).values()
    wanted = sorted(np.ravel(np.concatenate([np.ravel(value) for value in expected])))
    np.testing.assert_allclose(values, wanted, atol=1e-4)
