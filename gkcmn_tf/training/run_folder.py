"""The folder of a run (`--model_dir`): its settings and the trained model.

params.yaml        the resolved config
vocabulary.txt     the vocabulary of the model
features.json      the fingerprint of the features that it is trained on
training_clips.json
                   the SHA-256 of the clips that it is trained on
ckpt-*             the newest checkpoints
best/              the checkpoint with the best evaluation, which is a run folder itself
training_statistics.json
                   clip lengths and features of the training data (training.statistics)
versions.json      versions of Python, packages and source code at the last start
"""

import dataclasses
import hashlib
import os

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from gkcmn_tf import config as configs
from gkcmn_tf.features import extraction
from gkcmn_tf.features.fingerprint import read_fingerprint
from gkcmn_tf.files import read_json, write_json
from gkcmn_tf.i3d import weight_sources
from gkcmn_tf.modeling.grounding_model import GroundingModel
from gkcmn_tf.modeling.models import MODELS
from gkcmn_tf.records import clip_records
from gkcmn_tf.text import glove, tokenization
from gkcmn_tf.tf_examples import read_records
from gkcmn_tf.trained_model import TrainedModel
from gkcmn_tf.training import checkpoints, optimizers
from gkcmn_tf.training.statistics import STATISTICS_FILE
from gkcmn_tf.versions import versions

VOCABULARY_FILE = "vocabulary.txt"
FEATURES_FILE = "features.json"
CLIPS_FILE = "training_clips.json"
VERSIONS_FILE = "versions.json"
METRICS_FILE = "metrics.json"
# Settings of a run that cannot change when it is resumed, in addition to those of model and data.
FIXED = ("train.seed", "train.global_batch_size", "train.ema_momentum", "runtime.precision")


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run: its config and the trained model of a checkpoint.

    Example:
        >>> from gkcmn_tf import config
        >>> from gkcmn_tf.text.tokenization import Tokenizer
        >>> from gkcmn_tf.training.run_folder import Run, build_model
        >>> settings = config.Experiment(config.ModelConfig(type="bm"))
        >>> tokenizer = Tokenizer(["dog", "runs"], max_words=settings.data.max_words)
        >>> model = build_model(settings, tokenizer.vocabulary_size)
        >>> run = Run(settings, tokenizer, {"fps": None}, model, step=0, model_dir="runs/demo")
        >>> run.as_trained_model().about["name"]
        'demo'

    Attributes:
        config: config of the run.
        tokenizer: tokenizer with the vocabulary of the run.
        features: fingerprint of the features that the model was trained on.
        model: built model with the weights of the checkpoint.
        step: number of training steps of the checkpoint.
        model_dir: folder of the run.
    """

    config: configs.Experiment
    tokenizer: tokenization.Tokenizer
    features: dict
    model: GroundingModel
    step: int
    model_dir: str = ""

    def as_trained_model(self) -> TrainedModel:
        """Returns the model for `VideoGrounder` and `preset.save`, with the data of its card.

        Raises:
            ValueError: the model was trained without a part of its input (`data.blind`).
        """
        if self.config.data.blind != "none":
            raise ValueError(
                f"{self.model_dir}: was trained with data.blind={self.config.data.blind}, so it "
                "is for evaluation only; train without data.blind"
            )
        about: dict = {"name": os.path.basename(os.path.abspath(self.model_dir))}
        for key, file in (("training", STATISTICS_FILE), ("evaluation", METRICS_FILE)):
            path = os.path.join(self.model_dir, file)
            if os.path.exists(path):
                about[key] = read_json(path)
        if evaluation := about.pop("evaluation", None):
            about["metrics"] = evaluation["overall"]
            about["evaluated_on"] = (
                f"{evaluation['sentences']} sentences about {evaluation['videos']} videos of the "
                f"split {evaluation['split']}, protocol {evaluation['protocol']}"
            )
        about["data"] = f"{self.config.data.train_split}, {self.step} steps"
        return TrainedModel(
            self.model, self.tokenizer, self.features, self.config.data.max_steps, about
        )


def build_model(config: configs.Experiment, vocabulary_size: int) -> GroundingModel:
    """Returns a built model with initial weights from `train.seed`."""
    keras.utils.set_random_seed(config.train.seed)
    arguments = config.model.get().as_dict()
    model = MODELS[config.model.type](
        vocabulary_size, **arguments, dtype=config.runtime.precision, name=config.model.type
    )
    data = config.data
    grid = (data.grid_size, data.grid_size)
    model.build(
        {
            "features": (None, data.max_steps, *grid, data.feature_channels),
            "step_mask": (None, data.max_steps),
            "tokens": (None, data.queries_per_clip, data.max_words),
        }
    )
    model.built = True
    return model


def records_features(config: configs.Experiment) -> dict:
    """Returns the fingerprint of the features of the config's records.

    Raises:
        FileNotFoundError: `data.records_dir` is empty or not a folder of records.
        ValueError: the features differ from those expected by the config.
    """
    remedy = (
        "create records with `python -m data.prepare --dataset=... --output_dir=RECORDS`, and give "
        "--params_override=data.records_dir=RECORDS"
    )
    if not config.data.records_dir:
        raise FileNotFoundError(f"data.records_dir: is empty; {remedy}")
    manifest_path = os.path.join(config.data.records_dir, clip_records.MANIFEST)
    if not os.path.exists(manifest_path):
        raise FileNotFoundError(f"data.records_dir: {manifest_path} does not exist; {remedy}")
    fingerprint = read_fingerprint(manifest_path, "features")
    data = config.data
    expected = [data.grid_size, data.grid_size, data.feature_channels]
    if fingerprint["shape"] != expected:
        raise ValueError(
            f"{manifest_path}: features have shape {fingerprint['shape']} a step, but "
            f"data.grid_size and data.feature_channels are {expected}"
        )
    made_with = (fingerprint["i3d_source"], fingerprint["i3d_sha256"])
    if data.i3d_weights and not weight_sources.means_weights(data.i3d_weights, *made_with):
        raise ValueError(
            f"{manifest_path}: features were made with the I3D weights {made_with[0]} (SHA-256 "
            f"{made_with[1]}), but data.i3d_weights asks for {data.i3d_weights}; give "
            "--params_override=data.i3d_weights=, with nothing after it, to take any, or run "
            f"data.prepare with --i3d_weights={data.i3d_weights} and another --output_dir"
        )
    return fingerprint


def evaluation_split(data: configs.DataConfig) -> str:
    """Returns the split that is evaluated during training.

    This is `data.eval_split`. If it is the default and the records do not contain it, a warning is
    logged and `data.train_split` is used.

    Raises:
        FileNotFoundError: a split that is not the default, or a part of it, is missing.
    """
    default = configs.DataConfig().eval_split
    if data.eval_split != default or clip_records.has_split(data.records_dir, default):
        clip_records.clip_shards(data.records_dir, data.eval_split)
        return data.eval_split
    logging.warning(
        "%s: has no split %r, so evaluation and the choice of the best checkpoint are on the "
        "training split %r; these metrics do not show how well the model does on other videos",
        *(data.records_dir, default, data.train_split),
    )
    return data.train_split


def start(
    config: configs.Experiment, model_dir: str, *, writes: bool = True
) -> tuple[tokenization.Tokenizer, np.ndarray | None]:
    """Writes the settings of a new run, or checks that an existing run has the same ones.

    Args:
        config: config of the run.
        model_dir: folder of the run.
        writes: whether to write files; of several workers, only the chief does.

    Returns:
        the tokenizer, and the GloVe vectors of its words if the config names a source.

    Raises:
        FileNotFoundError: the records do not exist (see `records_features`).
        ValueError: `model_dir` contains a run with other settings, there are no training sentences,
            or the word vectors are invalid (see `glove.load_glove`).
    """
    fingerprint = records_features(config)
    clips_hash = _training_clips_hash(config.data)
    if os.path.exists(os.path.join(model_dir, configs.PARAMS_FILE)):
        _check_same_run(config, fingerprint, clips_hash, model_dir)
        tokenizer = tokenization.Tokenizer.load(
            os.path.join(model_dir, VOCABULARY_FILE), config.data.max_words
        )
    elif found := checkpoints.paths(model_dir):
        raise ValueError(
            f"{model_dir}: has checkpoints ({os.path.basename(found[-1])}) but no "
            f"{configs.PARAMS_FILE}, so they cannot be continued; use another --model_dir, or "
            "restore the file"
        )
    else:
        data = config.data
        clips = clip_records.read_clips(data.records_dir, data.train_split)
        texts = [sentence.text for clip in clips for sentence in clip.sentences]
        if not texts:
            raise ValueError(
                f"{data.records_dir}: split {data.train_split!r} contains no sentence; "
                "manifest.json lists the sentences that data.prepare skipped, with reasons"
            )
        tokenizer = tokenization.Tokenizer.from_sentences(
            texts,
            max_words=config.data.max_words,
            min_count=config.data.min_word_count,
        )
    # Before anything is written, so that an invalid source does not leave a run that uses it.
    word_vectors = _word_vectors(config, tokenizer)
    if writes:
        for folder in (model_dir, os.path.join(model_dir, checkpoints.BEST_FOLDER)):
            tokenizer.save(os.path.join(folder, VOCABULARY_FILE))
            write_json(os.path.join(folder, FEATURES_FILE), fingerprint)
            write_json(os.path.join(folder, CLIPS_FILE), {"sha256": clips_hash})
            write_json(os.path.join(folder, VERSIONS_FILE), versions())
            configs.save(config, folder)
    return tokenizer, word_vectors


def _word_vectors(config, tokenizer):
    if not config.data.word_vectors:
        return None
    vectors = glove.load_glove(
        config.data.word_vectors,
        tokenizer.vocabulary,
        dim=config.model.get().word_width,
        seed=config.train.seed,
    )
    logging.info("%s", vectors.coverage())
    return vectors.matrix


def _training_clips_hash(data):
    digest = hashlib.sha256()
    for path in clip_records.clip_shards(data.records_dir, data.train_split):
        for record in read_records([path]):
            digest.update(hashlib.sha256(record).digest())
    return digest.hexdigest()


def _check_same_run(config, fingerprint, clips_hash, model_dir):
    old, new = configs.flat(configs.saved(model_dir)), configs.flat(config)
    fixed = [key for key in new if key in FIXED or key.startswith(("model.", "data."))]
    # It may be another name of the same weights, which the comparison of features covers.
    fixed.remove("data.i3d_weights")
    if old["model.type"] != new["model.type"]:
        # Arguments of different models cannot be compared.
        fixed = [key for key in fixed if key == "model.type" or not key.startswith("model.")]
    changes = [
        f"{key}: {before} -> {now}"
        for key in fixed
        if (before := _as_list(old[key])) != (now := _as_list(new[key]))
    ]
    trained = read_fingerprint(os.path.join(model_dir, FEATURES_FILE))
    changes += [f"features: {change}" for change in _feature_changes(trained, fingerprint)]
    trained_clips = read_json(os.path.join(model_dir, CLIPS_FILE))["sha256"]
    if trained_clips != clips_hash:
        changes.append(f"clips of {config.data.train_split}: {trained_clips} -> {clips_hash}")
    if changes:
        raise ValueError(
            f"{model_dir}: contains a run with other settings; use another --model_dir, or the "
            "settings of the run (value of the run -> requested value):\n" + "\n".join(changes)
        )


def _as_list(value):
    return list(value) if isinstance(value, tuple) else value


def _feature_changes(before, now):
    return [
        f"{key}: {before.get(key)} -> {now.get(key)}" for key in extraction.differences(before, now)
    ]


def check_features(run: Run) -> None:
    """Raises `ValueError` if the records have other features than the run was trained on."""
    now = records_features(run.config)
    if changes := _feature_changes(run.features, now):
        raise ValueError(
            f"{run.config.data.records_dir}: features differ from those that the model was "
            f"trained on (training -> records): {'; '.join(changes)}"
        )


def load(model_dir: str) -> Run:
    """Loads the run in `model_dir` with the weights of its newest checkpoint.

    These are the averaged weights if the run computes them. A checkpoint that cannot be restored is
    skipped with a warning.

    Raises:
        FileNotFoundError: the folder is not a run folder or has no checkpoint.
        ValueError: no checkpoint can be read.
    """
    config = configs.saved(model_dir)
    paths = checkpoints.paths(model_dir)
    if not paths:
        raise FileNotFoundError(f"{model_dir}: no checkpoint; has gkcmn_tf.train saved one?")
    tokenizer = tokenization.Tokenizer.load(
        os.path.join(model_dir, VOCABULARY_FILE), config.data.max_words
    )
    model = build_model(config, tokenizer.vocabulary_size)
    step = tf.Variable(0, dtype=tf.int64)
    if config.train.ema_momentum:
        optimizer = optimizers.create_optimizer(config, model)
        checkpoints.restore_newest(
            checkpoints.create_checkpoint(model, step=step, optimizer=optimizer), paths
        )
        optimizers.use_averaged_weights(optimizer, model)
    else:
        checkpoints.restore_newest(checkpoints.create_checkpoint(model, step=step), paths)
    return Run(
        config=config,
        tokenizer=tokenizer,
        features=read_fingerprint(os.path.join(model_dir, FEATURES_FILE)),
        model=model,
        step=int(step.numpy()),
        model_dir=model_dir,
    )
