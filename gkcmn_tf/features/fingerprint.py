"""The settings that features were made with, as saved with records, runs and presets."""

from typing import Any

from gkcmn_tf.files import read_json
from gkcmn_tf.json_fields import errors_in, is_integer, json_list, text


def read_fingerprint(path: str, *keys: str) -> dict[str, Any]:
    """Reads a fingerprint (see `gkcmn_tf.features.extraction`) from a JSON file.

    Args:
        path: path of the file.
        *keys: keys of the object in the file that has the fingerprint; none for the file itself.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged; the message names it and the field.
    """
    fields = read_json(path)
    with errors_in(path):
        for key in keys:
            if not isinstance(fields, dict) or key not in fields:
                raise ValueError(f"{key}: missing field")
            fields = fields[key]
        if not isinstance(fields, dict):
            raise ValueError(f"expected an object, got {type(fields).__name__}")
        for name in ("i3d_source", "i3d_sha256"):
            text(fields, name)
        shape = json_list(fields, "shape")
        if len(shape) != 3 or not all(is_integer(size) and size > 0 for size in shape):
            raise ValueError(f"shape: expected 3 positive integers, got {shape!r}")
    return fields
