import json
import re

import numpy as np
import pytest

from data import make_shapes, vidstg
from data.shapes import balance, independence, long_records, long_scene, long_sentences
from data.shapes.long_sentences import Limit, Query
from data.shapes.reader import Reader

KNOBS = long_scene.Knobs(max_steps=64, max_objects=5)
VIDEOS = 60


@pytest.fixture(scope="module")
def scenes():
    return [make_shapes.long_candidates(3, KNOBS, number) for number in range(VIDEOS)]


@pytest.fixture(scope="module")
def annotations(scenes):
    found = {split: make_shapes.LongAnnotations() for split in make_shapes.SPLITS}
    make_shapes.choose_long_sentences(scenes, 3, KNOBS, found)
    return found


def texts(record):
    return [asked["description"] for asked in record["captions"] + record["questions"]]


def readers(scenes):
    return {str(2_003_000_000 + i): Reader(found.scene) for i, found in enumerate(scenes)}


def clip_of(entry):
    return entry["used_segment"]["begin_fid"], entry["used_segment"]["end_fid"] + 1


def test_every_sentence_has_one_answer_the_true_one(scenes, annotations):
    by_vid = readers(scenes)
    count = 0
    for split in annotations.values():
        for record in split.records:
            for text in texts(record):
                seen = by_vid[record["vid"]].read(text, *clip_of(record)).only
                truth = record["temporal_gt"]
                target = (record["captions"] + record["questions"])[0]["target_id"]
                assert seen is not None, text
                assert (seen.tid, seen.begin, seen.end) == (
                    target,
                    truth["begin_fid"],
                    truth["end_fid"],
                )
                count += 1
    assert count > 2 * VIDEOS


def test_a_sentence_with_a_word_less_is_not_always_enough(scenes, annotations):
    by_vid = readers(scenes)
    limited = [
        (record, text)
        for split in annotations.values()
        for record in split.records
        for text in texts(record)
        if re.search(r" (after|before|while|for) ", text)
    ]
    assert len(limited) > VIDEOS / 3
    for record, text in limited:
        short = re.sub(r" (after|before|while|for) .*(?=[.?])", "", text)
        found = by_vid[record["vid"]].read(short, *clip_of(record))
        assert len(found.possible) > 1, text


def test_absent_sentences_mean_nothing_and_differ_in_one_word(scenes, annotations):
    by_vid = readers(scenes)
    absent = [one for split in annotations.values() for one in split.absent]
    present = {
        (record["vid"], text)
        for split in annotations.values()
        for record in split.records
        for text in texts(record)
    }
    assert {one["absent"] for one in absent} == {"object", "event", "order"}
    for one in absent:
        assert not by_vid[one["vid"]].read(one["description"], *clip_of(one)).possible
        assert (one["vid"], one["like"]) in present
        words = [one[name].split() for name in ("description", "like")]
        assert sum(a != b for a, b in zip(*words, strict=True)) == 1


def test_begin_length_place_and_size_are_independent_of_every_word(annotations):
    for split in ("train", "test"):
        found = independence.largest_information(
            [texts(record) for record in annotations[split].records],
            np.array(annotations[split].properties),
        )
        assert len(found) == 5
        for one in found:
            assert one.bits < one.chance, (split, one)


def test_pairs_are_listed_with_the_ids_of_their_sentences(annotations):
    test = annotations["test"]
    kinds = set()
    for pair in test.files("test")["pairs"]:
        kinds.add(pair["kind"])
        chosen = []
        for name in ("first", "second"):
            _, number, place = pair[name].split("-")
            record = test.records[int(number)]
            field = {"d": "captions", "i": "questions"}[place[0]]
            chosen.append((record[field][int(place[1:])]["description"], record["temporal_gt"]))
        (first, _), (second, _) = chosen
        assert (first == second) == (pair["kind"] == "moved")
    assert "word" in kinds


def test_words_of_slots_are_swapped_one_at_a_time():
    query = Query(
        (("colour", "red"), ("shape", "star")),
        "move_left",
        limit=Limit("order", "after", "spin", (("colour", "blue"),)),
    )
    text = "the red star moves left after the blue object spins."
    assert long_sentences.declarative(query, 0) == text
    changed = {
        long_sentences.declarative(long_sentences.with_slot(query, place, value), 0)
        for place, value in enumerate(["green", "cross", "move_up", "while", "white", "blink"])
    }
    assert changed == {
        "the green star moves left after the blue object spins.",
        "the red cross moves left after the blue object spins.",
        "the red star moves up after the blue object spins.",
        "the red star moves left while the blue object spins.",
        "the red star moves left after the white object spins.",
        "the red star moves left after the blue object blinks.",
    }


def test_sentences_that_would_fill_a_full_bin_have_an_excess():
    counts = balance.Balance()
    places = balance.bins(np.array([0.45, 20, 0.5, 0.5, 0.21]))
    np.testing.assert_array_equal(places, [2, 1, 2, 2, 2])
    for _ in range(20):
        counts.add(["late"], places)
    others = balance.bins(np.array([0.65, 100, 0.1, 0.9, 0.4]))
    assert counts.excess(["late"], places) > 2
    assert counts.excess(["late"], others) < 0
    assert counts.excess(["new"], places) < long_records.MAX_EXCESS


def test_words_have_a_fixed_order():
    found = balance.words("the star spins after the red star blinks.")
    assert found == ["after", "blinks", "red", "spins", "star", "the"]


def test_a_larger_set_contains_a_smaller(scenes, annotations):
    found = {split: make_shapes.LongAnnotations() for split in make_shapes.SPLITS}
    make_shapes.choose_long_sentences(scenes[:20], 3, KNOBS, found)
    for split, of_split in found.items():
        before = len(of_split.records)
        assert of_split.records == annotations[split].records[:before]
        assert len(of_split.vids) == {"train": 10, "val": 1, "test": 9}[split]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("long")
    knobs = long_scene.Knobs(min_steps=24, max_steps=25, max_event=40, max_objects=3)
    release = make_shapes.make_long_shapes(str(root), num_videos=12, seed=1, knobs=knobs)
    return root, knobs, release


def test_the_reader_of_vidstg_takes_every_sentence(written):
    root, _, release = written
    paths = vidstg.find_vidor_annotations(str(root / "vidor"))
    for split in ("train", "test"):
        found = vidstg.read_split(split, str(root / "annotations"), paths)
        counts = release["splits"][split]
        assert found.skipped == []
        assert found.kept == counts["declarative"] + counts["interrogative"] > 0
        assert len(found.videos) <= counts["videos"]


def test_the_same_command_completes_and_gives_the_same(written):
    root, knobs, release = written
    assert json.loads((root / "release.json").read_text()) == release
    video = sorted(root.glob("videos/*/*.mp4"))[0]
    before = video.read_bytes()
    video.unlink()
    again = make_shapes.make_long_shapes(str(root), num_videos=12, seed=1, knobs=knobs, processes=2)
    assert again == release
    assert video.read_bytes() == before
    with pytest.raises(ValueError, match="expected"):
        make_shapes.make_long_shapes(str(root), num_videos=12, seed=2, knobs=knobs)


def test_knobs_on_the_command_line():
    assert make_shapes.parse_knobs(["speed=1.5", "max_objects=4"]) == long_scene.Knobs(
        speed=1.5, max_objects=4
    )
    with pytest.raises(ValueError, match="no knob 'colour'; there are min_steps"):
        make_shapes.parse_knobs(["colour=1"])
    with pytest.raises(ValueError, match="--knobs: max_objects: invalid literal"):
        make_shapes.parse_knobs(["max_objects=x"])
