"""The configuration of a run: a tree of dataclasses, with the paper's numbers as defaults.

An experiment is picked by the name of its model, then changed by YAML files in order, then by
`--params_override`; an unknown key or an impossible value is an error that names it.
The resolved tree is saved with every run as `params.yaml`.
"""

import dataclasses
import difflib
import inspect
import math
import os
import pathlib
import re
import reprlib
import typing
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf
import yaml
from official.core import exp_factory
from official.modeling import hyperparams

from gkcmn_tf.files import write_text
from gkcmn_tf.modeling.grounding_model import GroundingModel
from gkcmn_tf.modeling.models import MODELS
from gkcmn_tf.records import blinding
from gkcmn_tf.trained_model import MAX_LENGTH

PARAMS_FILE = "params.yaml"


def _arguments_of(model: type[GroundingModel]) -> type[hyperparams.Config]:
    """Config class with the optional constructor arguments of a model, and their defaults."""
    arguments = {}
    for base in reversed(model.__mro__):
        if issubclass(base, GroundingModel):
            parameters = inspect.signature(base.__init__).parameters.values()
            arguments |= {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}
    fields = [
        (name, tuple[float, ...] if isinstance(default, tuple) else type(default), default)
        for name, default in arguments.items()
    ]
    return dataclasses.make_dataclass(
        f"{model.__name__}Config",
        fields,
        bases=(hyperparams.Config,),
        namespace={
            "__module__": __name__,
            "__doc__": f"Optional constructor arguments of `{model.__name__}`, documented there.",
        },
    )


_SECTIONS = {name: _arguments_of(model) for name, model in MODELS.items()}
ModelConfig = dataclasses.make_dataclass(
    "ModelConfig",
    [
        ("type", str, "gkcmn"),
        *(
            (name, section, dataclasses.field(default_factory=section))
            for name, section in _SECTIONS.items()
        ),
    ],
    bases=(hyperparams.OneOfConfig,),
    namespace={
        "__module__": __name__,
        "__doc__": """Model type and arguments; only the section named by `type` is used.

    Example:
        >>> from gkcmn_tf.config import ModelConfig
        >>> model = ModelConfig(type="bm")
        >>> model.get() is model.bm
        True
    """,
    },
)


@dataclasses.dataclass
class DataConfig(hyperparams.Config):
    """Records, and how batches are made from them.

    Example:
        >>> from gkcmn_tf.config import DataConfig
        >>> data = DataConfig(records_dir="runs/demo/records", max_steps=12)
        >>> [data.max_steps, data.grid_size, data.grid_size, data.feature_channels]
        [12, 7, 7, 1024]

    Attributes:
        records_dir: folder that `data.prepare` wrote.
        i3d_weights: source (as given to `data.prepare`) or SHA-256 of the I3D weights that the
            features must be made with; empty takes any. Sources of the same weights are one.
        train_split: split to train on, or several: `train+train_mirrored`.
        eval_split: split that training is evaluated on. Records without a split `val`, the default,
            are evaluated on `train_split`, with a warning.
        max_steps: `T`, at most 10,000; longer clips are subsampled to it, shorter ones padded.
        max_words: `N`, at most 10,000; longer sentences are cut.
        grid_size: `S`, cells along each side of the features.
        feature_channels: `C`, channels of the features.
        queries_per_clip: `Q`, sentences of one clip that share a pass of the visual branch.
        negative_share: share of the sentences that training replaces by random ones about other
            videos, whose scores are trained to be 0. If it is not 0, they also take the places of
            clips with fewer sentences than `queries_per_clip`, at no cost.
        temporal_crop: largest share of the frames before and after the tubes of an example that
            training leaves out, a random part of it each time; an augmentation.
        splice_share: share of the training examples in which a random number of the steps before
            or after the tubes is replaced by steps of another video, as if a scene began or ended.
        min_word_count: rarer words of the training split count as unknown.
        word_vectors: `glove.6B.50d` (the vectors that the extra `glove` installs; they need a
            `word_width` of 50, and 2, 5 or 10 `attention_heads`), or a GloVe text file (plain or
            .gz); empty trains word vectors from scratch.
        blind: part of the input that is withheld, in training and evaluation (see
            `gkcmn_tf.records.blinding`).
    """

    records_dir: str = ""
    i3d_weights: str = ""
    train_split: str = "train"
    eval_split: str = "val"
    max_steps: int = 200
    max_words: int = 20
    grid_size: int = 7
    feature_channels: int = 1024
    queries_per_clip: int = 1
    negative_share: float = 0.0
    temporal_crop: float = 0.0
    splice_share: float = 0.0
    min_word_count: int = 1
    word_vectors: str = ""
    blind: str = "none"


@dataclasses.dataclass
class TrainConfig(hyperparams.Config):
    """Optimisation, and the intervals of evaluations and checkpoints.

    Example:
        >>> from gkcmn_tf.config import TrainConfig
        >>> train = TrainConfig(steps=300, eval_interval=100)
        >>> train.steps // train.eval_interval
        3

    Attributes:
        steps: total number of training steps.
        global_batch_size: clips (times `queries_per_clip` sentences) per step, over all replicas.
        optimizer: `adam`, the paper's, or `muon`, which learns faster (`training.optimizers`).
        learning_rate: peak of the learning rate.
        warmup_steps: number of first steps over which the rate rises linearly from 0.
        decay_steps: number of last steps over which the rate falls to 0 along a half cosine; 0
            keeps the rate constant.
        clip_norm: gradients of a larger global norm are scaled down to it; 0 switches clipping off.
        accumulation_steps: number of parts in which each replica computes its share of a batch, one
            after the other, to save memory; the gradient is the same.
        ema_momentum: momentum, such as 0.999, of the moving averages of the weights, which are
            evaluated and exported instead of the weights; 0 disables them.
        seed: seed of initial weights, unknown word vectors and the order of the data.
        steps_per_loop: steps between two lines of progress and TensorBoard scalars.
        checkpoint_interval: steps between checkpoints; a multiple of `steps_per_loop`.
        eval_interval: steps between evaluations; a multiple of `steps_per_loop`.
        max_checkpoints: how many of the newest checkpoints are kept.
        best_metric: metric of the evaluation by which the best checkpoint is kept, under `best/`;
            higher is better, except for losses. Empty keeps none.
    """

    steps: int = 50000
    global_batch_size: int = 32
    optimizer: str = "adam"
    learning_rate: float = 0.003
    warmup_steps: int = 0
    decay_steps: int = 0
    clip_norm: float = 5.0
    accumulation_steps: int = 1
    ema_momentum: float = 0.0
    seed: int = 0
    steps_per_loop: int = 100
    checkpoint_interval: int = 1000
    eval_interval: int = 1000
    max_checkpoints: int = 3
    best_metric: str = "m_vIoU"


@dataclasses.dataclass
class RuntimeConfig(hyperparams.Config):
    """Devices and precision of the training.

    Example:
        >>> from gkcmn_tf.config import RuntimeConfig
        >>> RuntimeConfig(num_gpus=1, precision="mixed_bfloat16").distribution_strategy
        'one_device'

    Attributes:
        distribution_strategy: `one_device`, `mirrored`, `multi_worker_mirrored` or `tpu`, as Model
            Garden's `distribute_utils` names them.
        num_gpus: GPUs of this machine to use; 0 runs on the CPU. An error if there are fewer.
        tpu: address of the TPU, for the strategy `tpu`.
        precision: `float32`, `mixed_bfloat16` or `mixed_float16`; the last scales the loss.
    """

    distribution_strategy: str = "one_device"
    num_gpus: int = 0
    tpu: str = ""
    precision: str = "float32"


@dataclasses.dataclass
class Experiment(hyperparams.Config):
    """All settings of a training run.

    Example:
        >>> from gkcmn_tf.config import Experiment
        >>> config = Experiment()
        >>> config.model.type, config.data.max_steps, config.train.global_batch_size
        ('gkcmn', 200, 32)
    """

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    runtime: RuntimeConfig = dataclasses.field(default_factory=RuntimeConfig)


def _register(name):
    @exp_factory.register_config_factory(name)
    def experiment() -> Experiment:
        return Experiment(model=ModelConfig(type=name))


for _name in MODELS:
    _register(_name)

CHOICES = {
    "model.type": tuple(MODELS),
    **{f"model.{name}.sentence_pooling": ("mean", "max", "attention") for name in MODELS},
    "model.gkcmn.offset_unit": ("step", "width"),
    "model.gkcmn.score_loss": ("smooth_l1", "cross_entropy"),
    "data.blind": blinding.BLIND,
    "train.optimizer": ("adam", "muon"),
    "runtime.distribution_strategy": ("one_device", "mirrored", "multi_worker_mirrored", "tpu"),
    "runtime.precision": ("float32", "mixed_bfloat16", "mixed_float16"),
}
MAY_BE_ZERO = (
    "attention_layers",
    "warmup_steps",
    "decay_steps",
    "clip_norm",
    "ema_momentum",
    "seed",
    "num_gpus",
    "feature_dropout",
    "negative_share",
    "temporal_crop",
    "splice_share",
    "focal_alpha",
    "focal_beta",
    "score_threshold",
    "loss_weights",
    "interaction_width",
    "relative_sigma",
    "box_smoothing",
)
FRACTIONS = (
    "feature_dropout",
    "negative_share",
    "temporal_crop",
    "splice_share",
    "positive_heat",
    "score_threshold",
    "high_score_ratio",
    "ema_momentum",
)
BELOW_ONE = ("feature_dropout", "negative_share", "ema_momentum")
# Random generators take 32 bits.
MOST = {"max_steps": MAX_LENGTH, "max_words": MAX_LENGTH, "seed": 2**32 - 1}
MOST_OTHER_INTEGERS = 10**9
MOST_BRACKETS = 100
EVEN = ("sentence_width", "fusion_width", "temporal_width")


def _check_type(key, value, annotation):
    if typing.get_origin(annotation) is tuple:
        (element, _) = typing.get_args(annotation)
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError(f"{key}: expected a list of {element.__name__}, got {value!r}")
        for item in value:
            _check_type(key, item, element)
        return
    accepted = (int, float) if annotation is float else (annotation,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and annotation is not bool):
        raise ValueError(f"{key}: expected {annotation.__name__}, got {value!r}")


def _check(key, value):
    name = key.rsplit(".", 1)[-1]
    if key in CHOICES and value not in CHOICES[key]:
        raise ValueError(f"{key}: expected one of {', '.join(CHOICES[key])}; got {value!r}")
    for number in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(number, (bool, str)):
            continue
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError(f"{key}: expected a finite number, got {value!r}")
        if number < 0 or (number == 0 and name not in MAY_BE_ZERO):
            zero = " or 0" if name in MAY_BE_ZERO else ""
            raise ValueError(f"{key}: expected a positive value{zero}, got {value!r}")
        if name in FRACTIONS and number > 1:
            raise ValueError(f"{key}: expected at most 1, got {value!r}")
        if name in BELOW_ONE and number == 1:
            raise ValueError(f"{key}: expected less than 1, got {value!r}")
        most = MOST.get(name, MOST_OTHER_INTEGERS)
        if isinstance(number, int) and number > most:
            raise ValueError(f"{key}: expected at most {most}, got {value!r}")
        if name in EVEN and number % 2:
            raise ValueError(f"{key}: expected an even number, got {value!r}")


def _leaves(config, prefix=""):
    hints = typing.get_type_hints(type(config))
    for name in config.as_dict():
        value = getattr(config, name)
        if isinstance(value, hyperparams.Config):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, hints[name]


def flat(config: Experiment) -> dict:
    """The values in use by `key.subkey`, without those of the other models."""
    unused = [f"model.{name}." for name in CHOICES["model.type"] if name != config.model.type]
    return {key: value for key, value, _ in _leaves(config) if not key.startswith(tuple(unused))}


def validate(config: Experiment) -> None:
    """Raises `ValueError`, naming the key, if a value has the wrong type or is impossible."""
    if config.model.type not in CHOICES["model.type"]:
        _check("model.type", config.model.type)
    for key, value, annotation in _leaves(config):
        _check_type(key, value, annotation)
        _check(key, value)
    model_key, model, train = f"model.{config.model.type}", config.model.get(), config.train
    widths = ["word_width"]
    if config.model.type == "gkcmn" and model.temporal_attention:
        widths.append("temporal_width")
    for name in widths:
        if getattr(model, name) % model.attention_heads:
            raise ValueError(
                f"{model_key}.{name}: {getattr(model, name)} is not a multiple of "
                f"{model_key}.attention_heads, {model.attention_heads}"
            )
    expected = len(type(model)().loss_weights)
    if len(model.loss_weights) != expected:
        raise ValueError(f"{model_key}.loss_weights: expected {expected} values")
    for name in ("checkpoint_interval", "eval_interval"):
        if getattr(train, name) % train.steps_per_loop:
            raise ValueError(
                f"train.{name}: {getattr(train, name)} is not a multiple of "
                f"train.steps_per_loop, {train.steps_per_loop}"
            )
    for name in ("warmup_steps", "decay_steps"):
        if getattr(train, name) > train.steps:
            raise ValueError(f"train.{name}: {getattr(train, name)} exceeds train.steps")
    if train.global_batch_size % train.accumulation_steps:
        raise ValueError(
            f"train.accumulation_steps: {train.accumulation_steps} does not divide "
            f"train.global_batch_size, {train.global_batch_size}"
        )
    if config.runtime.distribution_strategy == "tpu" and not config.runtime.tpu:
        raise ValueError("runtime.tpu: expected an address for the strategy tpu, got ''")


def load(
    name: str, config_files: Sequence[str] = (), params_override: str | None = None
) -> Experiment:
    """The registered experiment `name`, changed by YAML files and then by `params_override`.

    Args:
        name: a registered experiment.
        config_files: YAML files, applied in order; found as by `find_file`.
        params_override: YAML or `key.subkey=value,...`.

    Raises:
        ValueError: an unknown experiment or key, or an impossible value, named with its source.
        FileNotFoundError: a file is missing.
    """
    try:
        config = exp_factory.get_exp_config(name)
    except LookupError as error:
        names = CHOICES["model.type"]
        suggestion = _did_you_mean(difflib.get_close_matches(name, names))
        raise ValueError(
            f"--experiment={name}: no such experiment{suggestion}; there are {' and '.join(names)}"
        ) from error
    sources = [(path, find_file(path)) for path in config_files]
    if params_override:
        sources.append(("--params_override", params_override))
    for source, override in sources:
        if source is override and not os.path.exists(source):
            raise FileNotFoundError(f"{source}: no such config file")
        try:
            changes = _read_changes(source, override)
            _check_keys(changes, config, source)
        except RecursionError as error:
            raise ValueError(f"{source}: keys or lists are nested too deeply") from error
        changes = _with_empty_texts(changes, config)
        config = hyperparams.override_params_dict(config, changes, is_strict=True)
    validate(config)
    return config


def find_file(path: str) -> str:
    """`path` if it exists, else the file of that name in the project's `configs/`."""
    if os.path.exists(path) or not path.startswith("configs/"):
        return path
    package = pathlib.Path(__file__).parent
    # The folder `configs` is inside the installed package, and next to it in the repository.
    candidates = [str(folder / path) for folder in (package, package.parent)]
    return next(filter(os.path.exists, candidates), path)


def _read_changes(source, override) -> dict:
    """The changes in a YAML file, or of `--params_override`, as nested dictionaries."""
    inline = source == "--params_override"
    _check_nesting(source, override if inline else _text_of(override))
    try:
        # Model Garden's parser: it reads 1e-3 as a number and supports dots in keys.
        changes = hyperparams.ParamsDict()
        changes = hyperparams.override_params_dict(changes, override, is_strict=False)
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: not valid YAML: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: expected text in UTF-8: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, tf.errors.OpError) as error:
        expected = (
            f"YAML or key.subkey=value,..., got {override!r}" if inline else "keys and values"
        )
        raise ValueError(f"{source}: expected {expected}") from error
    return changes.as_dict()


def _text_of(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _check_nesting(source, text):
    """Raises `ValueError` for many open brackets, which take YAML's parser quadratic time."""
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth = depth + 1 if bracket in "[{" else max(depth - 1, 0)
        if depth > MOST_BRACKETS:
            raise ValueError(f"{source}: more than {MOST_BRACKETS} brackets inside of each other")


def _check_keys(changes: Mapping, config: hyperparams.Config, source: str) -> None:
    """Raises `ValueError`, with a suggestion, for a key that `config` does not have."""
    known = [*_keys(config)]
    for key in _keys(changes):
        if key in known:
            _check_section(key, changes, config, source)
            continue
        name = key.rpartition(".")[2]
        elsewhere = [other for other in known if other.rpartition(".")[2] == name]
        close = elsewhere or difflib.get_close_matches(key, known, n=2, cutoff=0.7)
        raise ValueError(f"{source}: unknown key {key}{_did_you_mean(close)}")


def _check_section(key, changes, config, source):
    """Raises `ValueError` if a section, a list or a single value is given another of these."""
    for name in key.split("."):
        changes, config = changes[name], getattr(config, name, None)
    if isinstance(config, hyperparams.Config):
        expected = "" if isinstance(changes, Mapping) else "keys and values"
    elif isinstance(changes, Mapping) and changes:
        return  # its keys are unknown
    elif isinstance(config, (list, tuple)) and isinstance(changes, list):
        expected = "a list of single values" if any(map(_has_parts, changes)) else ""
    else:
        expected = "a single value" if _has_parts(changes) else ""
    if expected:
        raise ValueError(f"{source}: {key}: expected {expected}, got {reprlib.repr(changes)}")


def _has_parts(value):
    return isinstance(value, (Mapping, list, set, tuple))


def _with_empty_texts(changes: Mapping, config: hyperparams.Config) -> dict:
    """The changes with "" for texts without a value, such as `data.i3d_weights=`."""
    filled = {}
    for name, value in changes.items():
        before = getattr(config, name)
        if isinstance(value, Mapping) and isinstance(before, hyperparams.Config):
            filled[name] = _with_empty_texts(value, before)
        else:
            filled[name] = "" if value is None and isinstance(before, str) else value
    return filled


def _keys(config: Mapping | hyperparams.Config, prefix: str = "") -> Iterator[str]:
    """The dotted keys of a tree; a section precedes its keys."""
    if not isinstance(config, Mapping):
        config = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    for name, value in config.items():
        yield f"{prefix}{name}"
        if isinstance(value, (Mapping, hyperparams.Config)):
            yield from _keys(value, f"{prefix}{name}.")


def _did_you_mean(names: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(names)}?" if names else ""


def as_dict(config: Experiment) -> dict:
    """The config with lists instead of tuples, which YAML does not have."""
    return _without_tuples(config.as_dict())


def save(config: Experiment, folder: str) -> None:
    """Writes the resolved config to `folder/params.yaml`."""
    text = yaml.safe_dump(as_dict(config), sort_keys=False)
    write_text(os.path.join(folder, PARAMS_FILE), text)


def _without_tuples(value):
    if isinstance(value, dict):
        return {key: _without_tuples(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def saved(folder: str) -> Experiment:
    """The config that `save` wrote to `folder`."""
    path = os.path.join(folder, PARAMS_FILE)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: not there; is {folder} a --model_dir of gkcmn_tf.train?")
    return load("gkcmn", [path])
