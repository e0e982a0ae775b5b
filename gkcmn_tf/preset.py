"""Presets: folders with a trained model and its model card.

The folder of a preset contains

    config.json        class and arguments of the model, and facts about its training
    model.weights.h5   its weights
    vocabulary.txt     its vocabulary, one word per line
    features.json      settings of the feature extraction of its training data
    README.md          the model card

Loading a preset does not run code from the folder: the class is one of this package, found by name,
and its arguments are numbers and strings.
"""

import contextlib
import dataclasses
import difflib
import inspect
import io
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Mapping

import numpy as np

from gkcmn_tf import json_fields
from gkcmn_tf.extras import import_package
from gkcmn_tf.features.fingerprint import read_fingerprint
from gkcmn_tf.files import read_json, whole_file, write_json, write_text
from gkcmn_tf.model_card import model_card
from gkcmn_tf.trained_model import MAX_LENGTH, TrainedModel

FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.weights.h5"
VOCABULARY_FILE = "vocabulary.txt"
FEATURES_FILE = "features.json"
CARD_FILE = "README.md"
FILES = (CONFIG_FILE, WEIGHTS_FILE, VOCABULARY_FILE, FEATURES_FILE, CARD_FILE)
MAX_HEATMAP_SIZE = 256
VALUES_BESIDES_WEIGHTS = 1_000  # states of metrics and of random generators
WEIGHTS_DTYPES = ("float16", "float32")

HUB_PREFIX = "hf://"
_PRESETS_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "presets")
_RUN_FILE = "params.yaml"  # identifies the folder of a run


@dataclasses.dataclass(frozen=True)
class PresetInfo:
    """Summary of a preset, as listed by `presets`.

    Example:
        >>> import gkcmn_tf
        >>> info = gkcmn_tf.presets()["gkcmn_shapes"]
        >>> info.name, 0 < info.metrics["m_vIoU"] < 1
        ('gkcmn_shapes', True)

    Attributes:
        name: name of the preset.
        description: what it was trained on.
        parameters: number of parameters of the model.
        size: size of its files in bytes.
        metrics: metrics by name, from 0 to 1.
        folder: folder of its files.
    """

    name: str
    description: str
    parameters: int
    size: int
    metrics: Mapping[str, float]
    folder: str


def presets() -> dict[str, PresetInfo]:
    """Returns the presets in the package by name.

    Example:
        >>> import gkcmn_tf
        >>> gkcmn_tf.presets()["gkcmn_shapes"].parameters > 100_000
        True
    """
    found = {}
    for name in sorted(os.listdir(_PRESETS_FOLDER)):
        folder = os.path.join(_PRESETS_FOLDER, name)
        if not os.path.exists(os.path.join(folder, CONFIG_FILE)):
            continue
        config = _read_config(folder)
        found[name] = PresetInfo(
            name=name,
            description=config["about"].get("description", ""),
            parameters=config["parameters"],
            size=sum(os.path.getsize(os.path.join(folder, file)) for file in FILES),
            metrics=config["about"].get("metrics", {}),
            folder=folder,
        )
    return found


def load(preset: str, *, dtype: str | None = None) -> TrainedModel:
    """Loads a preset by name, from its folder, from a run's folder, or from the Hub.

    Args:
        preset: see `VideoGrounder.from_preset`.
        dtype: precision of the network; default: that of training.

    Raises:
        FileNotFoundError: the preset or one of its files does not exist.
        ValueError: a file is damaged.
    """
    return _load_folder(find(preset), dtype)


def find(preset: str) -> str:
    """Returns the folder of a preset, which is downloaded if it is on the Hub.

    Raises:
        FileNotFoundError: the preset does not exist; the message lists the existing ones.
    """
    if preset.startswith(HUB_PREFIX):
        return _download(preset)
    packaged = os.path.join(_PRESETS_FOLDER, preset)
    if os.sep not in preset and os.path.exists(os.path.join(packaged, CONFIG_FILE)):
        return packaged
    if os.path.isdir(preset):
        return preset
    names = list(presets())
    near = difflib.get_close_matches(preset, names, 1)
    raise FileNotFoundError(
        f"--preset={preset}: neither a folder nor a preset of this package"
        + (f"; did you mean {near[0]}?" if near else f" ({', '.join(names)})")
    )


def save(preset: TrainedModel, folder: str, *, weights: str = "float16") -> None:
    """Writes the folder of a preset; the config is written last and marks it as complete.

    Raises:
        ValueError: `weights` is not one of `WEIGHTS_DTYPES`, or cannot hold a weight of the model;
            or `folder` holds other files.
    """
    if weights not in WEIGHTS_DTYPES:
        raise ValueError(f"weights: expected one of {', '.join(WEIGHTS_DTYPES)}; got {weights!r}")
    _check_replaceable(folder)
    os.makedirs(folder, exist_ok=True)
    config_path = os.path.join(folder, CONFIG_FILE)
    if os.path.exists(config_path):
        os.remove(config_path)
    config, card = describe(preset)
    _save_weights(preset.model, os.path.join(folder, WEIGHTS_FILE), weights)
    preset.tokenizer.save(os.path.join(folder, VOCABULARY_FILE))
    write_json(os.path.join(folder, FEATURES_FILE), preset.features)
    write_text(os.path.join(folder, CARD_FILE), card)
    write_json(config_path, config)


def describe(preset: TrainedModel) -> tuple[dict, str]:
    """Returns the content of `config.json` and the model card of a preset."""
    model = preset.model
    config = {
        "format": FORMAT,
        "class_name": type(model).__name__,
        "config": _arguments(model),
        "dtype": model.dtype_policy.name,
        "max_steps": preset.max_steps,
        "max_words": preset.tokenizer.max_words,
        "parameters": model.count_params(),
        "about": preset.about,
    }
    return config, model_card(config, preset.features)


def _check_replaceable(folder):
    """Raises `ValueError` if a folder holds files that are not a preset's."""
    if os.path.exists(os.path.join(folder, _RUN_FILE)):
        raise ValueError(f"{folder}: holds a run of gkcmn_tf.train; choose another folder")
    if os.path.exists(os.path.join(folder, CONFIG_FILE)):
        _read_config(folder)
        return
    # A write that was interrupted leaves any of the other files. A card alone is not one of ours.
    present = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    if CARD_FILE in present and not present.issuperset(FILES[1:]):
        raise ValueError(
            f"{folder}: holds a {CARD_FILE} but no preset, which would replace it; choose another "
            "folder"
        )


def _arguments(model):
    """Returns the constructor arguments of the model as JSON values."""
    known = _constructor_arguments(type(model))
    config = {name: value for name, value in model.get_config().items() if name in known}
    return json.loads(json.dumps(config))


def _constructor_arguments(cls):
    """Returns the argument names of a model class and its base classes in this package."""
    names = set()
    for base in cls.__mro__:
        if base.__module__.startswith("gkcmn_tf."):
            names |= set(inspect.signature(base.__init__).parameters)
    return names - {"self", "kwargs"}


def _save_weights(model, path, dtype):
    """Writes weights that `model.load_weights` reads.

    HDF5 crashes if its disk is full. So Keras writes it in memory, into the archive of a model.
    """
    import h5py  # noqa: PLC0415 - not needed to list presets

    with whole_file(path) as temporary, tempfile.TemporaryDirectory() as folder:
        archive = os.path.join(folder, "model.keras")
        model.save(archive)
        with zipfile.ZipFile(archive) as opened:
            full = io.BytesIO(opened.read(WEIGHTS_FILE))
        shortened = io.BytesIO()
        with h5py.File(full) as source, h5py.File(shortened, "w") as target:

            def copy(name, item):
                if name.partition("/")[0] == "optimizer":  # the state of `fit`, not a weight
                    return
                if not isinstance(item, h5py.Dataset):
                    target.require_group(name).attrs.update(item.attrs)
                    return
                value = item[()]
                if value.dtype == "float32":
                    if (np.abs(value) > np.finfo(dtype).max).any():
                        raise ValueError(f"weights: {name} has values that {dtype} cannot hold")
                    value = value.astype(dtype)
                target.create_dataset(name, data=value).attrs.update(item.attrs)

            target.attrs.update(source.attrs)
            source.visititems(copy)
        with open(temporary, "wb") as file:
            file.write(shortened.getbuffer())


def _read_config(folder):
    path = os.path.join(folder, CONFIG_FILE)
    config = read_json(path, object_pairs_hook=json_fields.JsonObject)
    with json_fields.errors_in(path):
        if not isinstance(config, dict) or "format" not in config:
            raise ValueError("missing field 'format'; is this a preset of GKCMN-TF?")
        if config["format"] != FORMAT:
            raise ValueError(f"has format {config['format']!r}, expected {FORMAT}")
        json_fields.text(config, "class_name")
        json_fields.text(config, "dtype")
        json_fields.json_object(config, "config")
        json_fields.json_object(config, "about")
        for name in ("max_steps", "max_words"):
            if json_fields.integer(config, name, at_least=1) > MAX_LENGTH:
                raise ValueError(f"{name}: expected at most {MAX_LENGTH}, got {config[name]}")
    return config


def _load_folder(folder, dtype):
    if os.path.exists(os.path.join(folder, _RUN_FILE)):
        # Reading the config of a run needs the packages of training.
        from gkcmn_tf.training import run_folder  # noqa: PLC0415

        return run_folder.load(folder).as_trained_model()
    missing = [file for file in FILES[:-1] if not os.path.exists(os.path.join(folder, file))]
    if missing:
        raise FileNotFoundError(
            f"{folder}: neither a preset nor a run of gkcmn_tf.train: has no {missing[0]}"
        )
    config = _read_config(folder)
    features = read_fingerprint(os.path.join(folder, FEATURES_FILE))
    model, tokenizer = _build(folder, config, features, dtype or config["dtype"])
    return TrainedModel(
        model=model,
        tokenizer=tokenizer,
        features=features,
        max_steps=config["max_steps"],
        about={"name": os.path.basename(os.path.abspath(folder)), **config["about"]},
    )


def _build(folder, config, features, dtype):
    # TensorFlow takes seconds to import, and listing presets does not need it.
    import tensorflow as tf  # noqa: PLC0415

    from gkcmn_tf.modeling.models import MODELS  # noqa: PLC0415
    from gkcmn_tf.text.tokenization import Tokenizer  # noqa: PLC0415

    path = os.path.join(folder, CONFIG_FILE)
    classes = {model.__name__: model for model in MODELS.values()}
    if config["class_name"] not in classes:
        raise ValueError(
            f"{path}: class_name: expected one of {', '.join(classes)}; got "
            f"{config['class_name']!r}"
        )
    cls = classes[config["class_name"]]
    if unknown := sorted(config["config"].keys() - _constructor_arguments(cls)):
        raise ValueError(
            f"{path}: config: {cls.__name__} has no argument {unknown[0]!r}; was the preset made "
            "by a newer version?"
        )
    vocabulary = os.path.join(folder, VOCABULARY_FILE)
    tokenizer = Tokenizer.load(vocabulary, config["max_words"])
    size = config["config"].get("vocabulary_size")
    if size != tokenizer.vocabulary_size:
        raise ValueError(
            f"{vocabulary}: has {tokenizer.vocabulary_size - 2} words and 2 tokens, but "
            f"vocabulary_size in {path} is {size}; is the file complete?"
        )
    weights = os.path.join(folder, WEIGHTS_FILE)
    arrays, values = _count_weights(weights)
    with json_fields.errors_in(f"{path}: config"):
        for name, most in (("attention_layers", arrays), ("heatmap_size", MAX_HEATMAP_SIZE)):
            if json_fields.is_number(size := config["config"].get(name)) and size > most:
                raise ValueError(f"{name}: expected at most {most}, got {size}")
    sizes = {name: size for name, size in config["config"].items() if json_fields.is_integer(size)}
    largest = max(sizes, key=sizes.get)
    message = (
        f"needs more than the {values} values in {weights}; the largest size is "
        f"{largest}={sizes[largest]}"
    )
    try:
        with _limited_variables(values + VALUES_BESIDES_WEIGHTS, message):
            model = cls(**config["config"], dtype=dtype, name=cls.__name__.lower())
            model.build(
                {
                    "features": (None, config["max_steps"], *features["shape"]),
                    "step_mask": (None, config["max_steps"]),
                    "tokens": (None, 1, config["max_words"]),
                }
            )
    except (ValueError, TypeError, ArithmeticError, tf.errors.ResourceExhaustedError) as error:
        raise ValueError(f"{path}: config: not arguments of {cls.__name__}: {error}") from error
    model.built = True
    if model.count_params() != values:  # Keras ignores layers that only the file has
        raise ValueError(
            f"{weights}: not the weights of this model: has {values} values, but the model of "
            f"{path} has {model.count_params()}"
        )
    try:
        model.load_weights(weights)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{weights}: not the weights of this model: {error}") from error
    for variable in model.weights:
        if variable.dtype.startswith(("float", "bfloat")) and not tf.reduce_all(
            tf.math.is_finite(variable.value)
        ):
            raise ValueError(
                f"{weights}: {variable.path}: expected finite numbers, found NaN or infinity"
            )
    return model, tokenizer


@contextlib.contextmanager
def _limited_variables(most, message):
    """Context manager; raises `ValueError` before variables of more than `most` values exist."""
    import tensorflow as tf  # noqa: PLC0415 - see `_build`

    left = most

    def create_variable(create, **arguments):
        nonlocal left
        initial = arguments["initial_value"]
        with tf.Graph().as_default():  # allocates nothing
            shape = tf.convert_to_tensor(initial()).shape if callable(initial) else initial.shape
        left -= math.prod(shape)
        if left < 0:
            raise ValueError(message)
        return create(**arguments)

    with tf.variable_creator_scope(create_variable):
        yield


def _count_weights(path):
    """Returns the numbers of arrays and of values in a file of weights.

    All values must be in the file itself: it cannot refer to other files, and a small file cannot
    have many values.
    """
    import h5py  # noqa: PLC0415 - not needed to list presets

    sizes, elsewhere = [], []

    def add(name, item):
        if not isinstance(item, h5py.Dataset):
            return
        if item.size is None or item.external or item.id.get_storage_size() < item.nbytes:
            elsewhere.append(name)
        else:
            sizes.append(item.size)

    def add_link(name, link):
        if not isinstance(link, h5py.HardLink):
            elsewhere.append(name)

    try:
        with h5py.File(path) as file:
            file.visititems_links(add_link)
            file.visititems(add)
        if elsewhere:
            raise ValueError(f"{elsewhere[0]}: expected plain numbers in the file itself")
    except SystemError as error:  # raised by h5py
        raise ValueError(
            f"{path}: not the weights of this model: expected names in UTF-8"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path}: not the weights of this model: {error}") from error
    return len(sizes), sum(sizes)


def _download(preset):
    huggingface_hub = import_package("huggingface_hub", f"--preset={preset}")
    name, _, revision = preset.removeprefix(HUB_PREFIX).partition("@")
    if name.count("/") != 1:
        raise ValueError(f"--preset={preset}: expected hf://owner/name or hf://owner/name@revision")
    try:
        return huggingface_hub.snapshot_download(
            name, revision=revision or None, allow_patterns=list(FILES)
        )
    except Exception as error:  # its HTTP library, and thus the errors, depend on its version
        raise FileNotFoundError(f"--preset={preset}: cannot be downloaded: {error}") from error
