"""TensorFlow Datasets builders return the records of `data.prepare`."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data import tfds_builders
from gkcmn_tf import tubes
from gkcmn_tf.features import feature_records
from gkcmn_tf.files import read_json, write_json
from gkcmn_tf.records import clip_records

ROOT = pathlib.Path(__file__).parents[2]


def sentence(number, begin, end, **fields):
    boxes = np.arange(4 * (end - begin), dtype=np.float32).reshape(-1, 4) + number / 4
    values = {
        "index": number,
        "id": f"s{number}",
        "text": "a dog runs. ¿qué?",
        "qtype": tubes.QTYPES[number % 2],
        "target_id": 7 - number,
    }
    return clip_records.Sentence(begin=begin, end=end, boxes=boxes, **values | fields)


CLIPS = {
    "train": [
        clip_records.Clip("a/1", 0, 40, 25.0, 64, 48, 40, (sentence(0, 3, 6), sentence(1, 39, 40))),
        clip_records.Clip("b", 8, 32, 29.97, 32, 64, 100, (sentence(2, 8, 32),)),
    ],
    "test": [clip_records.Clip("c", 0, 4, 5.0, 8, 8, 4, (sentence(3, 0, 1),))],
    "val": [],
}


@pytest.fixture
def records_dir(tmp_path):
    """A records folder of VidSTG with three splits, one of them empty."""
    folder = tmp_path / "records"
    splits = {}
    for split, clips in CLIPS.items():
        clip_records.write_clips(str(folder), split, clips, num_shards=1)
        splits[split] = {"sentences": {"kept": sum(len(clip.sentences) for clip in clips)}}
    write_json(str(folder / "manifest.json"), {"dataset": "vidstg", "splits": splits})
    return str(folder)


def build(builder_class, records_dir, data_dir):
    builder = builder_class(data_dir=str(data_dir))
    config = tfds.download.DownloadConfig(manual_dir=records_dir)
    builder.download_and_prepare(download_config=config)
    return builder


def test_tfds_returns_every_sentence_as_in_the_records(records_dir, tmp_path):
    build(tfds_builders.Vidstg, records_dir, tmp_path / "tfds")
    served, info = tfds.load("vidstg", data_dir=str(tmp_path / "tfds"), with_info=True)
    assert set(served) == {"train", "test"}
    for split, dataset in served.items():
        examples = {example["id"].decode(): example for example in dataset.as_numpy_iterator()}
        clips = list(clip_records.read_clips(records_dir, split))
        assert len(examples) == sum(len(clip.sentences) for clip in clips)
        for clip in clips:
            for stored in clip.sentences:
                example = examples[stored.id]
                assert example["boxes"].dtype == np.float32
                np.testing.assert_array_equal(example["boxes"], stored.boxes)
                assert example["segment"].tolist() == [stored.begin, stored.end]
                assert example["clip"].tolist() == [clip.begin, clip.end]
                assert example["text"].decode() == stored.text
                assert info.features["qtype"].int2str(example["qtype"]) == stored.qtype
                assert example["video_id"].decode() == clip.video_id
                assert example["features_file"].decode() == feature_records.features_file(
                    clip.video_id
                )
                for key in ("index", "target_id"):
                    assert example[key] == getattr(stored, key)
                for key in ("fps", "width", "height", "frame_count"):
                    assert example[key] == np.float32(getattr(clip, key))


@pytest.mark.parametrize(
    ("builder_class", "name", "homepage", "citation"),
    [
        (
            tfds_builders.Vidstg,
            "vidstg",
            "https://github.com/Guaranteer/VidSTG-Dataset",
            "Multi-Form",
        ),
        (
            tfds_builders.Hcstvg,
            "hcstvg",
            "https://github.com/tzhhhh123/HC-STVG",
            "Visual Transformers",
        ),
        (tfds_builders.GkcmnCustom, "gkcmn_custom", "about:blank", ""),
    ],
)
def test_builders_have_the_expected_homepage_and_citation(
    builder_class, name, homepage, citation, tmp_path
):
    builder = builder_class(data_dir=str(tmp_path))
    assert builder.name == name
    assert builder.info.homepage == homepage
    assert citation in builder.info.citation
    assert bool(builder.info.citation) == bool(citation)


def test_the_name_of_custom_data_differs_from_the_layout(records_dir, tmp_path):
    manifest = read_json(f"{records_dir}/manifest.json")
    write_json(f"{records_dir}/manifest.json", manifest | {"dataset": "custom"})
    with pytest.raises(ValueError, match="data set 'custom', expected 'vidstg'; build 'gkcmn_cust"):
        build(tfds_builders.Vidstg, records_dir, tmp_path / "tfds")
    build(tfds_builders.GkcmnCustom, records_dir, tmp_path / "tfds")
    assert set(tfds.load("gkcmn_custom", data_dir=str(tmp_path / "tfds"))) == {"train", "test"}


def test_a_built_data_set_loads_without_the_builder(records_dir, tmp_path):
    built = build(tfds_builders.Vidstg, records_dir, tmp_path / "tfds")
    loaded = tfds.builder_from_directory(built.data_dir)
    assert type(loaded) is not tfds_builders.Vidstg
    assert len(loaded.as_dataset(split="train")) == 3


@pytest.mark.parametrize("builder_class", [tfds_builders.Hcstvg, tfds_builders.GkcmnCustom])
def test_records_of_another_data_set_are_refused(records_dir, tmp_path, builder_class):
    message = f"records of data set 'vidstg', expected '{builder_class.DATASET}'; build 'vidstg'"
    with pytest.raises(ValueError, match=message):
        build(builder_class, records_dir, tmp_path / "tfds")


def test_a_folder_without_records_is_an_error_that_names_the_remedy(tmp_path):
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual" / "vidor.zip").touch()
    with pytest.raises(FileNotFoundError, match=r"manifest\.json: no such.*with data\.prepare"):
        build(tfds_builders.GkcmnCustom, str(tmp_path / "manual"), tmp_path / "tfds")


@pytest.mark.slow
def test_a_data_set_built_by_the_command_loads_in_a_process_without_this_project(
    records_dir, tmp_path
):
    data_dir = tmp_path / "tfds"
    main = [sys.executable, "-m", "tensorflow_datasets.scripts.cli.main"]
    flags = ["--imports=data.tfds_builders", f"--manual_dir={records_dir}"]
    command = [*main, "build", "vidstg", *flags, f"--data_dir={data_dir}"]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    loading = (
        "import tensorflow_datasets as tfds; "
        f"print(len(tfds.load('vidstg', split='train', data_dir={str(data_dir)!r})))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", loading],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["3"]
