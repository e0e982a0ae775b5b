"""What a TensorFlow Lite file says about itself: the metadata we put in, and its operators.

The metadata are JSON, in a zip archive behind the model: the place where TensorFlow Lite keeps a
model's associated files. Interpreters ignore it; `unzip -p model.tflite gkcmn.json` shows it.
"""

import io
import json
import os
import zipfile

METADATA_FILE = "gkcmn.json"
FORMAT = 1


def with_metadata(model: bytes, metadata: dict) -> bytes:
    """`model` with `metadata`; the same input gives the same bytes."""
    file = io.BytesIO(model)
    file.seek(0, io.SEEK_END)
    # Without a date, for the sake of equal bytes.
    entry = zipfile.ZipInfo(METADATA_FILE)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(entry, json.dumps({"format": FORMAT} | metadata, ensure_ascii=False))
    return file.getvalue()


def read_metadata(path: str, network: str) -> dict:
    """The metadata of a file.

    Args:
        path: written by `export.tflite`.
        network: `grounding` or `i3d`, which it must hold.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no file of `export.tflite`, or holds the other network.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file; export.tflite --network={network} makes it")
    try:
        with zipfile.ZipFile(path) as archive:
            metadata = json.loads(archive.read(METADATA_FILE))
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no model that export.tflite wrote: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path}: metadata have format {metadata.get('format')!r}, this program reads "
            f"{FORMAT}; export it anew"
        )
    if metadata["network"] != network:
        raise ValueError(
            f"{path}: holds the network {metadata['network']!r}, expected {network!r}; "
            f"export.tflite --network={network} makes it"
        )
    return metadata


def builtin_operators() -> dict[str, int]:
    """Number of each operator that TensorFlow Lite has, by name."""
    # Of the interpreter's package, and needed only where models are made.
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    return {name: n for name, n in vars(schema.BuiltinOperator).items() if name.isupper()}


def operators(model: bytes) -> set[str]:
    """Names of the operators that a model uses, with `CUSTOM:` before those not built in."""
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    names = {number: name for name, number in builtin_operators().items()}
    parsed = schema.Model.GetRootAs(model, 0)
    codes = [parsed.OperatorCodes(index) for index in range(parsed.OperatorCodesLength())]
    found = set()
    for code in codes:
        # Old numbers have one byte, which a larger one leaves full.
        name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        found.add(f"CUSTOM:{code.CustomCode().decode()}" if name == "CUSTOM" else name)
    return found


def node_names(model: bytes) -> list[str]:
    """The name of the first output of each operator of a model's main graph."""
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    graph = schema.Model.GetRootAs(model, 0).Subgraphs(0)
    nodes = (graph.Operators(index) for index in range(graph.OperatorsLength()))
    return [graph.Tensors(node.Outputs(0)).Name().decode() for node in nodes]
