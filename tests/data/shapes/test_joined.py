"""Long videos of many scenes, with sentences that are true in one place only."""

import json

import numpy as np
import pytest

from data import make_shapes
from data.shapes import joined, scene, sentences
from gkcmn_tf.video import reading


def sample(seed, num_scenes=12, num_sentences=5):
    return joined.sample(
        np.random.default_rng(seed), num_scenes=num_scenes, num_sentences=num_sentences
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_each_sentence_is_about_another_scene_of_one_size(seed):
    scenes, described = sample(seed)
    assert len(scenes) == 12 and len({(one.width, one.height) for one in scenes}) == 1
    assert len({one.scene for one in described}) == len({one.text for one in described}) == 5
    for one in described:
        assert one.event.subject in scenes[one.scene].objects


def words_of(attributes):
    return {value for _, value in attributes}


@pytest.mark.parametrize("seed", [0, 1])
def test_no_other_scene_has_an_event_that_a_sentence_could_describe(seed):
    """Read from the words, apart from the code that wrote them."""
    scenes, described = sample(seed)
    actions = {verb: name for name, verbs in sentences.VERBS.items() for verb in verbs}
    for one in described:
        fitting = []
        verb = max((verb for verb in actions if f" {verb}" in one.text), key=len)
        subject, _, other = one.text.rstrip(".").partition(f" {verb}")
        for number, each in enumerate(scenes):
            for event in scene.events(each):
                things = [(subject, event.subject)]
                things += [(other, event.other)] if event.other is not None else []
                if event.name == actions[verb] and all(
                    may_be(words.split(), thing) for words, thing in things
                ):
                    fitting.append((number, event.tube))
        assert set(fitting) == {(one.scene, one.event.tube)}


def may_be(words, thing):
    known = {thing.colour, thing.shape, *thing.sizes_ever, "the", "a", "object"}
    return set(words) <= known


def test_too_many_sentences_are_refused():
    with pytest.raises(ValueError, match="5 sentences need as many scenes, got 4"):
        sample(0, num_scenes=4)


def test_the_files_are_those_of_own_data(tmp_path):
    counts = make_shapes.make_joined_shapes(str(tmp_path / "a"), minutes=0.2, num_sentences=2)
    assert counts == {"scenes": 6, "frames": 288, "sentences": 2}
    info = reading.probe(str(tmp_path / "a" / "videos" / "joined.mp4"))
    lines = (tmp_path / "a" / "test.jsonl").read_text().splitlines()
    for record in map(json.loads, lines):
        assert record["video"] == "videos/joined.mp4"
        assert 0 <= record["begin"] < record["end"] <= 288
        boxes = np.array(record["boxes"])
        assert boxes.shape == (record["end"] - record["begin"], 4)
        assert (boxes[:, :2] < boxes[:, 2:]).all() and (boxes >= 0).all()
        assert (boxes[:, 2:] <= [info.width, info.height]).all()
    with pytest.raises(ValueError, match="is not empty; use a new folder"):
        make_shapes.make_joined_shapes(str(tmp_path / "a"), minutes=0.2, num_sentences=2)
