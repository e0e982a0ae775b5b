import json

import pytest

from gkcmn_tf.features.fingerprint import read_fingerprint

FEATURES = {
    "i3d_source": "random:0",
    "i3d_sha256": "a",
    "endpoint": "Mixed_5c",
    "compute_dtype": "float32",
    "shape": [7, 7, 1024],
    "fps": None,
}


def test_a_fingerprint_is_read_from_a_file_or_a_part_of_it(tmp_path):
    path = tmp_path / "features.json"
    path.write_text(json.dumps(FEATURES))
    assert read_fingerprint(str(path)) == FEATURES
    path.write_text(json.dumps({"features": FEATURES}))
    assert read_fingerprint(str(path), "features") == FEATURES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", r"expected an object, got \[\]"),
        ("{}", "i3d_source: missing field"),
        (json.dumps({"i3d_source": "x", "i3d_sha256": "a"}), "endpoint: missing field"),
        (json.dumps(FEATURES | {"i3d_sha256": 3}), "i3d_sha256: expected a string, got 3"),
        ('{"shape": [], "shape": []}', "key 'shape' occurs twice"),
        (json.dumps(FEATURES | {"fps": "5"}), "fps: expected a positive number, got '5'"),
        (json.dumps(FEATURES | {"shape": 7}), "shape: expected a list, got 7"),
        (json.dumps(FEATURES | {"shape": [7, 7]}), r"shape: expected 3 positive integers, got \[7"),
        (json.dumps(FEATURES | {"shape": [7, 7, "x"]}), "shape: expected 3 positive integers"),
    ],
)
def test_damaged_files_are_named_with_the_field(content, message, tmp_path):
    path = tmp_path / "features.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"features\.json: {message}"):
        read_fingerprint(str(path))


def test_a_missing_part_is_named(tmp_path):
    path = tmp_path / "manifest.json"
    for content in ("{}", "[]"):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"manifest\.json: features: missing field"):
            read_fingerprint(str(path), "features")
