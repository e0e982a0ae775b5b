"""Optional dependencies: packages that are installed by an extra.

The core is all modules that work with `pip install gkcmn-tf` without extras, that is, all modules
that are not in `NOT_CORE`. Modules outside the core import optional packages at the top, as usual.
Modules of the core import them inside functions with `import_package`.
"""

import importlib
import types

# Import name: distribution, and the extra of pyproject.toml that installs it.
PACKAGES = {
    "official": ("tf-models-official", "train"),
    "orbit": ("tf-models-official", "train"),
    "tensorboard": ("tensorboard", "train"),
    "scipy": ("scipy", "train"),
    "yaml": ("PyYAML", "train"),
    "tensorflow_hub": ("tensorflow-hub", "hub"),
    "pkg_resources": ("setuptools<81", "hub"),
    "huggingface_hub": ("huggingface_hub", "hf"),
    "pyarrow": ("pyarrow", "glove"),
    "apache_beam": ("apache-beam", "prepare"),
    "matplotlib": ("matplotlib", "prepare"),
    "psutil": ("psutil", "prepare"),
    "dask": ("dask", "cluster"),
    "distributed": ("distributed", "cluster"),
    "tensorflow_datasets": ("tensorflow-datasets", "tfds"),
    "tensorflow_serving": ("tensorflow-serving-api", "serving"),
    "grpc": ("grpcio", "serving"),
    "requests": ("requests", "serving"),
    "ai_edge_litert": ("ai-edge-litert", "tflite"),
    "onnx": ("onnx", "onnx"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "tf2onnx": ("tf2onnx", "onnx"),
}

# Modules, and packages including their modules, that require an extra.
NOT_CORE = (
    "gkcmn_tf.config",
    "gkcmn_tf.train",
    "gkcmn_tf.training",
    "gkcmn_tf.evaluation.paired_seeds",
    "gkcmn_tf.evaluation.paper_tables",
    "gkcmn_tf.data.extract_features",
    "gkcmn_tf.data.inspect",
    "gkcmn_tf.data.prepare",
    "gkcmn_tf.data.tfds_builders",
    *(
        f"gkcmn_tf.export.{name}"
        for name in (
            *("client", "serving", "warmup"),
            *("run_tflite", "tflite", "tflite_files", "web"),
            *("onnx", "preset"),
        )
    ),
)


class MissingPackageError(ImportError):
    """An optional package is not installed; the message has the command to install it."""


def is_core(module: str) -> bool:
    """Whether a module of this project belongs to the core; takes its installed name."""
    return not f"{module}.".startswith(tuple(f"{name}." for name in NOT_CORE))


def import_package(name: str, needed_by: str) -> types.ModuleType:
    """Imports an optional package.

    Args:
        name: import name of the package, in `PACKAGES`.
        needed_by: feature that requires the package, for the error message.

    Raises:
        MissingPackageError: the package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (message := remedy(error, needed_by)) is None:
            raise
        raise MissingPackageError(message) from error


def remedy(error: ModuleNotFoundError, needed_by: str) -> str | None:
    """Message with the command to install a missing package; None if it is not in `PACKAGES`."""
    package = (error.name or "").partition(".")[0]
    if package not in PACKAGES:
        return None
    return missing_package(*PACKAGES[package], needed_by)


def missing_package(distribution: str, extra: str, needed_by: str) -> str:
    """Message with the command to install a missing distribution."""
    return f"{needed_by} needs the package {distribution}: pip install 'gkcmn-tf[{extra}]'"
