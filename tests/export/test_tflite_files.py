"""Metadata inside TensorFlow Lite files."""

import pytest

from export.tflite_files import read_metadata, with_metadata

METADATA = {"network": "i3d", "vocabulary": ["élan", "it's"], "shape": [1, 2]}


def test_round_trip(tmp_path):
    model = bytes(range(256)) * 5
    file = with_metadata(model, METADATA)
    assert file.startswith(model)
    assert file == with_metadata(model, METADATA)
    (tmp_path / "a.tflite").write_bytes(file)
    assert read_metadata(str(tmp_path / "a.tflite"), "i3d") == {"format": 3} | METADATA


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a file written by export.tflite"),
        (b"TFL3 of someone else", "not a file written by export.tflite"),
        (with_metadata(b"", METADATA)[:-5], "not a file written by export.tflite"),
        (with_metadata(b"", METADATA | {"format": 2}), "format 2, expected 3"),
        (
            with_metadata(b"", METADATA | {"network": "grounding"}),
            "contains the network 'grounding'",
        ),
    ],
)
def test_other_files_are_refused(content, message, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.tflite: .*{message}"):
        read_metadata(str(path), "i3d")


def test_the_error_for_a_missing_file_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.tflite: no such file"):
        read_metadata(str(tmp_path / "none.tflite"), "i3d")
