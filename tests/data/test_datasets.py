"""Data set flags and the annotations read for them."""

import re

import pytest
from absl import flags

from data import datasets

NAMES = (
    "dataset",
    "annotation_dir",
    "vidor_dir",
    "video_dir",
    "split",
    "limit",
    "annotations_only",
)


@pytest.fixture
def parse():
    """Parses a command line; the flags are removed after the test."""
    datasets.define_flags()
    yield lambda *arguments: flags.FLAGS(["program", *arguments])
    for name in NAMES:
        delattr(flags.FLAGS, name)


def sentences(found):
    return {split: annotations.kept for split, annotations in found.items()}


def test_vidstg(parse, folder, steady):
    folder.add_vidor("a", {0: steady})
    folder.add_record("a")
    folder.add_record("a", split="test", questions=())
    folder.write()
    parse(
        "--dataset=vidstg",
        f"--annotation_dir={folder.annotation_dir}",
        f"--vidor_dir={folder.vidor_dir}",
        f"--video_dir={folder.video_dir}",
    )
    assert sentences(datasets.read_annotations()) == {"val": 2, "test": 1}


def test_hcstvg(parse, hcstvg_folder):
    hcstvg_folder.add_record("a.mp4", file="train_v2.json")
    hcstvg_folder.add_record("b.mp4", file="val_v2.json")
    hcstvg_folder.add_video("b.mkv")
    hcstvg_folder.write()
    parse(
        "--dataset=hcstvg",
        f"--annotation_dir={hcstvg_folder.annotation_dir}",
        f"--video_dir={hcstvg_folder.video_dir}",
    )
    found = datasets.read_annotations()
    assert sentences(found) == {"train": 1, "val": 1}
    assert found["val"].videos == {"b.mp4": "1/b.mkv"}


def test_custom(parse, custom_folder):
    for path in ("a.mp4", "b.mp4"):
        custom_folder.add_video(path)
        custom_folder.add_line(path, split="mine")
    custom_folder.write()
    parse(
        "--dataset=custom",
        f"--annotation_dir={custom_folder.annotation_dir}",
        f"--video_dir={custom_folder.video_dir}",
        "--split=mine",
        "--limit=1",
    )
    assert sentences(datasets.read_annotations()) == {"mine": 1}


def test_counting_sentences_needs_only_annotations(parse, folder):
    folder.add_record("a")
    folder.add_record("a", split="train", captions=("",))
    folder.write()
    parse(
        *("--annotations_only", "--dataset", "vidstg"),
        *("--annotation_dir", str(folder.annotation_dir), "--split", "val,train"),
    )
    accounts = datasets.account_annotations()
    assert list(accounts) == ["val", "train"]
    assert accounts["train"].to_json() == {
        "records": 1,
        "declarative": 1,
        "interrogative": 1,
        "kept": 1,
        "skipped": 1,
        "reasons": {
            "train_annotations.json: record 0: captions[0].description: expected a sentence, "
            "got ''": 1
        },
    }


@pytest.mark.parametrize("split", ["val_absent", "val_mirrored", "a+b"])
def test_names_of_splits_that_are_made_from_others_are_refused(parse, custom_folder, split):
    custom_folder.add_line(split=split)
    custom_folder.write()
    parse(
        *("--annotations_only", "--dataset=custom", f"--split=val,{split}"),
        f"--annotation_dir={custom_folder.annotation_dir}",
    )
    with pytest.raises(ValueError, match=rf"--split={re.escape(split)}: a name cannot contain"):
        datasets.account_annotations()


def test_a_folder_without_any_split_is_an_error(parse, folder):
    parse("--annotations_only", "--dataset=hcstvg", f"--annotation_dir={folder.annotation_dir}")
    with pytest.raises(FileNotFoundError, match=r"train\.json or .*test_v2\.json: no such file"):
        datasets.account_annotations()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=vidstg", "--vidor_dir=o"], "--video_dir is required"),
        (["--dataset=vidstg", "--video_dir=v"], "--vidor_dir is required"),
        (["--dataset=hcstvg"], "--video_dir is required without --annotations_only"),
        (["--dataset=custom", "--vidor_dir=o"], "--vidor_dir is only valid with --dataset=vidstg"),
        (["--video_dir=v"], "Flag --dataset must have a value"),
    ],
)
def test_an_incomplete_command_line_is_refused(parse, arguments, message):
    with pytest.raises(flags.IllegalFlagValueError, match=message):
        parse("--annotation_dir=a", *arguments)
