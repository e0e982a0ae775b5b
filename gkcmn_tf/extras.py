"""What the core does without: packages that an extra of the installation brings.

The core is what `pip install gkcmn-tf` alone can import: every module that `NOT_CORE` does not
name. A module outside of it imports its packages at the top, as usual. A module of the core imports
them where they are needed, with `import_package`.
"""

import importlib
import types

# Import name: distribution, and the extra of pyproject.toml that brings it.
PACKAGES = {
    "official": ("tf-models-official", "train"),
    "orbit": ("tf-models-official", "train"),
    "tensorboard": ("tensorboard", "train"),
    "yaml": ("PyYAML", "train"),
    "tensorflow_hub": ("tensorflow-hub", "hub"),
    "pkg_resources": ("setuptools<81", "hub"),
    "huggingface_hub": ("huggingface_hub", "hf"),
    "pyarrow": ("pyarrow", "glove"),
    "apache_beam": ("apache-beam", "prepare"),
    "matplotlib": ("matplotlib", "prepare"),
    "tensorflow_datasets": ("tensorflow-datasets", "tfds"),
    "tensorflow_serving": ("tensorflow-serving-api", "serving"),
    "grpc": ("grpcio", "serving"),
    "requests": ("requests", "serving"),
    "ai_edge_litert": ("ai-edge-litert", "tflite"),
    "onnx": ("onnx", "onnx"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "tf2onnx": ("tf2onnx", "onnx"),
}

# Modules, and packages with all that they hold, that need an extra.
NOT_CORE = (
    "gkcmn_tf.config",
    "gkcmn_tf.train",
    "gkcmn_tf.training",
    "gkcmn_tf.evaluation.paper_tables",
    "gkcmn_tf.data.feature_pipeline",
    "gkcmn_tf.data.inspect",
    "gkcmn_tf.data.prepare",
    "gkcmn_tf.data.tfds_builders",
    "gkcmn_tf.export",
)


class MissingPackageError(ImportError):
    """A package is not installed; the message says which command installs it."""


def is_core(module: str) -> bool:
    """Whether a module of this project, by its installed name, belongs to the core."""
    return not f"{module}.".startswith(tuple(f"{name}." for name in NOT_CORE))


def import_package(name: str, needed_by: str) -> types.ModuleType:
    """Imports a package of an extra; `MissingPackageError` if it is not installed.

    Args:
        name: of a package in `PACKAGES`.
        needed_by: what needs it, for the message.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (message := remedy(error, needed_by)) is None:
            raise
        raise MissingPackageError(message) from error


def remedy(error: ModuleNotFoundError, needed_by: str) -> str | None:
    """The command that installs what could not be imported; None if no extra brings it."""
    package = (error.name or "").partition(".")[0]
    if package not in PACKAGES:
        return None
    distribution, extra = PACKAGES[package]
    return f"{needed_by} needs the package {distribution}: pip install 'gkcmn-tf[{extra}]'"
