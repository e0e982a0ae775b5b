"""The settings that features were made with, as saved with records, runs and presets."""

from typing import Any

from gkcmn_tf.files import read_json
from gkcmn_tf.json_fields import (
    JsonObject,
    errors_in,
    is_integer,
    json_list,
    json_object,
    positive_number,
    text,
)


def read_fingerprint(path: str, *keys: str) -> dict[str, Any]:
    """Reads a fingerprint (see `gkcmn_tf.features.extraction`) from a JSON file.

    Args:
        path: path of the file.
        *keys: keys of the object in the file that has the fingerprint; none for the file itself.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged; the message names it and the field.
    """
    content = read_json(path, object_pairs_hook=JsonObject)
    with errors_in(path):
        fingerprint = json_object(content, *keys)
        for name in ("i3d_source", "i3d_sha256", "endpoint", "compute_dtype"):
            text(fingerprint, name)
        if fingerprint.get("fps") is not None:
            positive_number(fingerprint, "fps")
        shape = json_list(fingerprint, "shape")
        if len(shape) != 3 or not all(is_integer(size) and size > 0 for size in shape):
            raise ValueError(f"shape: expected 3 positive integers, got {shape!r}")
    return fingerprint
