"""Reads and writes metadata of TensorFlow Lite files, and lists their operators.

The metadata are JSON in a zip archive appended to the model, where TensorFlow Lite stores
associated files. Interpreters ignore the archive; `unzip -p model.tflite gkcmn.json` prints it.
"""

import io
import json
import os
import zipfile

METADATA_FILE = "gkcmn.json"
FORMAT = 3


def with_metadata(model: bytes, metadata: dict) -> bytes:
    """Appends metadata to a model; deterministic.

    Args:
        model: content of a TensorFlow Lite file.
        metadata: JSON object.

    Returns:
        Content of the file with metadata.
    """
    file = io.BytesIO(model)
    file.seek(0, io.SEEK_END)
    # No date, so that the bytes are deterministic.
    entry = zipfile.ZipInfo(METADATA_FILE)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(entry, json.dumps({"format": FORMAT} | metadata, ensure_ascii=False))
    return file.getvalue()


def read_metadata(path: str, network: str) -> dict:
    """Reads the metadata of a file.

    Args:
        path: file written by `export.tflite`.
        network: expected network, `grounding` or `i3d`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file was not written by `export.tflite`, or contains another network.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{path}: no such file; create it with export.tflite --network={network}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            metadata = json.loads(archive.read(METADATA_FILE))
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a file written by export.tflite: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path}: metadata format {metadata.get('format')!r}, expected {FORMAT}; export the "
            "run again"
        )
    if metadata["network"] != network:
        raise ValueError(
            f"{path}: contains the network {metadata['network']!r}, expected {network!r}; "
            f"create it with export.tflite --network={network}"
        )
    return metadata


def builtin_operators() -> dict[str, int]:
    """Returns the codes of all TensorFlow Lite operators by name."""
    # Imported here because it is needed only for the conversion, not by the runner.
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    return {name: n for name, n in vars(schema.BuiltinOperator).items() if name.isupper()}


def operators(model: bytes) -> set[str]:
    """Returns the names of a model's operators, with the prefix `CUSTOM:` for custom ones."""
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    names = {number: name for name, number in builtin_operators().items()}
    parsed = schema.Model.GetRootAs(model, 0)
    codes = [parsed.OperatorCodes(index) for index in range(parsed.OperatorCodesLength())]
    found = set()
    for code in codes:
        # The deprecated field has one byte, with its maximum for larger codes.
        name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        found.add(f"CUSTOM:{code.CustomCode().decode()}" if name == "CUSTOM" else name)
    return found


def node_names(model: bytes) -> list[str]:
    """Returns the name of the first output of each operator of a model's main graph."""
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    graph = schema.Model.GetRootAs(model, 0).Subgraphs(0)
    nodes = (graph.Operators(index) for index in range(graph.OperatorsLength()))
    return [graph.Tensors(node.Outputs(0)).Name().decode() for node in nodes]
