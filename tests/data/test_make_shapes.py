import json
import pathlib

import numpy as np
import pytest

from data import make_shapes, vidstg
from gkcmn_tf.video import reading

SETTINGS = {"seed": 1, "num_frames": 48}
EXCERPT = pathlib.Path(__file__).with_name("vidstg_excerpt.json")


def files(root):
    """Returns the bytes of each file by path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("shapes")
    counts = make_shapes.make_shapes(str(root), num_videos=10, **SETTINGS)
    return root, counts


def annotations(root, split):
    return json.loads((root / "annotations" / f"{split}_annotations.json").read_text())


def test_records_have_the_same_fields_as_real_vidstg_records(made):
    root, _ = made
    real = json.loads(EXCERPT.read_text())[0]
    for split in make_shapes.SPLITS:
        for record in annotations(root, split):
            assert list(record) == list(real)
            for field in ("used_segment", "used_relation", "temporal_gt"):
                assert list(record[field]) == list(real[field])
            for entry in record["captions"] + record["questions"]:
                assert list(entry) == list(real["captions"][0])
                assert entry["target_id"] == record["used_relation"]["subject_tid"]
            assert record["used_segment"]["end_fid"] < record["frame_count"] == 48


def test_the_vidstg_reader_keeps_every_sentence_unchanged(made):
    root, counts = made
    paths = vidstg.find_vidor_annotations(str(root / "vidor"))
    for split in make_shapes.SPLITS:
        found = vidstg.read_split(split, str(root / "annotations"), paths)
        assert found.skipped == []
        assert found.kept == counts[split]["declarative"] + counts[split]["interrogative"] > 0
        assert sum(found.notices.values()) == found.notices["repeated_sentences"]
        for clip in found.clips:
            for sentence in clip.sentences:
                assert clip.begin <= sentence.begin < sentence.end <= clip.end
                assert (sentence.boxes[:, :2] < sentence.boxes[:, 2:]).all()
                assert (sentence.boxes[:, 2:] <= [clip.width, clip.height]).all()


def test_splits_and_folders_match_vidor(made):
    root, counts = made
    assert [counts[split]["videos"] for split in make_shapes.SPLITS] == [7, 1, 2]
    names = {
        folder: sorted(path.stem for path in (root / "vidor" / folder).glob("*/*.json"))
        for folder in ("training", "validation")
    }
    listed = {
        split: json.loads((root / "annotations" / f"{split}_files.json").read_text())
        for split in make_shapes.SPLITS
    }
    assert names["training"] == sorted(listed["train"] + listed["val"])
    assert names["validation"] == sorted(listed["test"])
    assert all(name.isdigit() for found in listed.values() for name in found)


def test_videos_match_their_annotations(made):
    root, _ = made
    paths = sorted((root / "vidor").glob("*/*/*.json"))
    assert len(paths) == 10
    for path in paths[:3]:
        vidor = json.loads(path.read_text())
        stream = reading.decode_frames(str(root / "videos" / vidor["video_path"]), size=None)
        assert len(list(stream)) == vidor["frame_count"] == len(vidor["trajectories"])
        assert (stream.info.width, stream.info.height) == (vidor["width"], vidor["height"])
        assert stream.info.fps == vidor["fps"]
        tids = [entry["tid"] for entry in vidor["subject/objects"]]
        for objects in vidor["trajectories"]:
            assert [entry["tid"] for entry in objects] == tids


def test_the_object_of_an_action_without_another_object_is_its_subject(made):
    root, _ = made
    predicates = set()
    for path in (root / "vidor").glob("*/*/*.json"):
        for relation in json.loads(path.read_text())["relation_instances"]:
            alone = not relation["predicate"].startswith("pass")
            assert (relation["subject_tid"] == relation["object_tid"]) == alone
            assert 0 <= relation["begin_fid"] < relation["end_fid"] <= 48
            predicates.add(relation["predicate"])
    assert len(predicates) > 3


def test_the_same_seed_gives_the_same_bytes_and_a_larger_set_contains_a_smaller_one(made, tmp_path):
    root, _ = made
    make_shapes.make_shapes(str(tmp_path), num_videos=12, **SETTINGS)
    small, large = files(root), files(tmp_path)
    for path in small:
        if not path.startswith("annotations/"):
            assert small[path] == large[path], path
    for split in make_shapes.SPLITS:
        before, after = annotations(root, split), annotations(tmp_path, split)
        assert after[: len(before)] == before
    assert len(large) == len(small) + 4  # two videos with an annotation each


@pytest.mark.parametrize("lost", ["videos/*/*.mp4", "vidor/training/*/*.json"])
def test_missing_files_are_regenerated_and_the_others_kept(made, lost):
    root, _ = made
    before = files(root)
    kept, gone = sorted(root.glob(lost))[:2]
    inode = kept.stat().st_ino
    gone.unlink()
    make_shapes.make_shapes(str(root), num_videos=10, **SETTINGS)
    assert files(root) == before
    assert kept.stat().st_ino == inode


def test_other_settings_are_refused(made):
    root, _ = made
    before = files(root)
    with pytest.raises(ValueError, match="contains shapes with"):
        make_shapes.make_shapes(str(root), num_videos=10, seed=2, num_frames=48)
    assert files(root) == before


def test_videos_of_another_version_of_the_program_are_refused(made, monkeypatch):
    root, _ = made
    before = files(root)
    monkeypatch.setattr("data.shapes.scene.SPEED", (5.0, 6.0))
    monkeypatch.setattr("data.shapes.scene.GROWTH", 1.2)
    with pytest.raises(ValueError, match="contains another scene; use an empty --output_dir"):
        make_shapes.make_shapes(str(root), num_videos=10, **SETTINGS)
    assert files(root) == before


def test_boxes_are_whole_pixels_around_the_exact_ones():
    scene = make_shapes.shapes_scene.sample_scene(
        np.random.default_rng(0), num_frames=48, min_objects=2, max_objects=2
    )
    vidor = make_shapes.vidor_annotation(scene, "7", "1000/7.mp4")
    for number, thing in enumerate(scene.objects):
        for frame, exact in enumerate(thing.boxes()):
            box = list(vidor["trajectories"][frame][number]["bbox"].values())
            assert all(isinstance(side, int) for side in box)
            outward = np.array([-1, -1, 1, 1]) * (box - exact)
            assert (outward >= 0).all()
            assert (outward < 1).all()


def test_the_test_split_of_the_long_setting_does_not_grow_beyond_630_videos():
    videos = [make_shapes.long_video(seed=1, number=number) for number in range(3000)]
    splits = [split for split, _, _ in videos]
    assert splits[:1400].count("train") == 700 and splits[:1400].count("val") == 70
    assert splits[:1400].count("test") == 630
    assert set(splits[1400:]) == {"train"}
    assert len({vid for _, vid, _ in videos}) == 3000
