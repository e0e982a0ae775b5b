r"""Trains a grounding model on the records of data.prepare.

Example:
    python -m gkcmn_tf.train --experiment=gkcmn --config_file=configs/shapes.yaml \
        --params_override=data.records_dir=runs/demo/records --model_dir=runs/demo

An interrupted run resumes from its newest checkpoint with the same results. To monitor training:
    tensorboard --logdir=runs

Training stops if the loss is not finite; nonfinite_loss.json then lists the sentences of the batch.
"""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator

import keras
import numpy as np
import orbit
import tensorflow as tf
from absl import app, flags, logging
from official.common import distribute_utils
from tensorboard.plugins.hparams import api as hparams

from gkcmn_tf import config as configs
from gkcmn_tf import program
from gkcmn_tf.files import write_json
from gkcmn_tf.folder_lock import folder_lock
from gkcmn_tf.modeling.grounding_model import GroundingModel
from gkcmn_tf.records import clip_records, input_pipeline
from gkcmn_tf.training import checkpoints, optimizers, run_folder, statistics, trainer

FLAGS = flags.FLAGS
RESUMES = True
# TensorFlow sometimes waits forever for a thread when it destroys an iterator.
SKIPS_TEARDOWN = True
FAILURE_FILE = "nonfinite_loss.json"


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("experiment", "gkcmn", "Registered experiment: gkcmn, or bm (baseline).")
    flags.DEFINE_multi_string(
        "config_file",
        [],
        "YAML file of config overrides; repeat the flag to apply several, in order.",
    )
    flags.DEFINE_string("params_override", None, "Config overrides: YAML, or key.subkey=value,...")
    flags.DEFINE_string(
        "model_dir",
        None,
        "Output folder for settings, checkpoints and TensorBoard logs.",
        required=True,
    )
    flags.DEFINE_enum(
        "mode",
        "train_and_eval",
        ["train", "eval", "train_and_eval"],
        "Training, evaluation or both.",
    )


def main(argv):
    """Trains, evaluates, or both."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    config = configs.load(FLAGS.experiment, FLAGS.config_file, FLAGS.params_override)
    keras.config.set_dtype_policy(config.runtime.precision)
    strategy = create_strategy(config.runtime)
    # Of several workers, the chief writes to the folder.
    writes = FLAGS.mode != "eval" and strategy.extended.should_checkpoint
    lock = folder_lock(FLAGS.model_dir) if writes else contextlib.nullcontext()
    with (
        lock,
        input_pipeline.damage_named(config.data.records_dir),
        full_disk_named(FLAGS.model_dir),
    ):
        run(config, strategy)


@contextlib.contextmanager
def full_disk_named(model_dir: str) -> Iterator[None]:
    """Raises `ValueError` if events for TensorBoard cannot be written, as on a full disk."""
    try:
        yield
    except tf.errors.OpError as error:
        if "flush events file" not in error.message:
            raise
        raise ValueError(
            f"{model_dir}: events for TensorBoard cannot be written; make room on the disk, then "
            "run the same command again"
        ) from error


def run(config: configs.Experiment, strategy: tf.distribute.Strategy) -> None:
    """Trains and evaluates according to `--mode`."""
    controller = create_controller(config, FLAGS.model_dir, strategy)
    if FLAGS.mode == "eval":
        controller.evaluate()
        return
    try:
        train(controller, config.train, evaluate=FLAGS.mode == "train_and_eval")
    except trainer.NonFiniteLossError as error:
        path = os.path.join(FLAGS.model_dir, FAILURE_FILE)
        write_json(
            path,
            {
                "step": error.step,
                "sentences": batch_sentences(config, FLAGS.model_dir, error.step),
            },
        )
        sys.exit(f"{FLAGS.model_dir}: {error}; {path} lists the sentences of the batch")


def create_strategy(runtime: configs.RuntimeConfig) -> tf.distribute.Strategy:
    """Creates the distribution strategy.

    Raises:
        ValueError: fewer GPUs are available than `runtime.num_gpus`.
    """
    available = len(tf.config.list_physical_devices("GPU"))
    if runtime.distribution_strategy != "tpu" and runtime.num_gpus > available:
        raise ValueError(
            f"runtime.num_gpus: {runtime.num_gpus} requested, but TensorFlow finds {available} on "
            f"this machine; set --params_override=runtime.num_gpus={available}"
            f"{'' if available else ' to train on the CPU'}, or install TensorFlow with CUDA (pip "
            "install 'tensorflow[and-cuda]') and the NVIDIA driver (check with `nvidia-smi`)"
        )
    return distribute_utils.get_distribution_strategy(
        runtime.distribution_strategy,
        num_gpus=runtime.num_gpus,
        tpu_address=runtime.tpu or None,
    )


def train(controller: orbit.Controller, config: configs.TrainConfig, *, evaluate: bool) -> None:
    """Trains up to `config.steps`; evaluates every `eval_interval` steps and at the end."""
    step = int(controller.global_step.numpy())
    if step >= config.steps:
        logging.info("already trained for %d steps", config.steps)
    while step < config.steps:
        # A resumed run evaluates at the same steps as an uninterrupted one.
        step = min(step - step % config.eval_interval + config.eval_interval, config.steps)
        controller.train(step, checkpoint_at_completion=step == config.steps)
        if evaluate:
            controller.evaluate()


def batch_sentences(config: configs.Experiment, model_dir: str, step: int) -> list[str]:
    """Ids of the sentences in the training batch at `step`."""
    split = config.data.train_split
    clips = clip_records.read_clips(config.data.records_dir, split)
    ids = [sentence.id for clip in clips for sentence in clip.sentences]
    tokenizer, _ = run_folder.start(config, model_dir, writes=False)
    dataset = input_pipeline.from_config(
        config.data,
        split,
        tokenizer,
        global_batch_size=config.train.global_batch_size,
        training=True,
        seed=config.train.seed,
        start_step=step,
    )
    _, labels = next(iter(dataset))
    return [ids[index] for index in labels["index"].numpy().ravel() if index >= 0]


def create_controller(
    config: configs.Experiment, model_dir: str, strategy: tf.distribute.Strategy
) -> orbit.Controller:
    """Creates the Orbit controller of a run, restored from the newest checkpoint if any."""
    writes = strategy.extended.should_checkpoint
    run_folder.records_features(config)
    eval_split = run_folder.evaluation_split(config.data)
    tokenizer, word_vectors = run_folder.start(config, model_dir, writes=writes)
    with strategy.scope():
        model = run_folder.build_model(config, tokenizer.vocabulary_size)
        if word_vectors is not None:
            model.sentence_encoder.set_word_vectors(word_vectors)
        optimizer = optimizers.create_optimizer(config, model)
    step = tf.Variable(0, dtype=tf.int64, name="step")
    saved = checkpoints.create_checkpoint(model, step=step, optimizer=optimizer)
    manager = checkpoints.Manager(
        saved,
        model_dir,
        writes=writes,
        max_to_keep=config.train.max_checkpoints,
        step_counter=step,
        checkpoint_interval=config.train.checkpoint_interval,
    )
    # Restore before creating the input pipeline, which starts at the restored step.
    manager.restore_or_initialize()
    first_step = int(step.numpy())
    logging.info("%s: %d weights, step %d", model_dir, model.count_params(), first_step)

    def dataset(input_context=None, *, training, start_step=0):
        return input_pipeline.from_config(
            config.data,
            config.data.train_split if training else eval_split,
            tokenizer,
            global_batch_size=config.train.global_batch_size,
            training=training,
            seed=config.train.seed,
            start_step=start_step,
            input_context=input_context,
        )

    # Orbit passes `input_context` by keyword.
    train_data = orbit.utils.make_distributed_dataset(
        strategy,
        lambda input_context: dataset(input_context, training=True, start_step=first_step),
    )
    eval_data = orbit.utils.make_distributed_dataset(
        strategy, lambda input_context: dataset(input_context, training=False)
    )
    clip_means = []
    first_batches = statistics.collect_clip_means(dataset(training=True), clip_means)
    if first_step == 0:
        model.adapt(first_batches, statistics.MAX_BATCHES)
    statistics_path = os.path.join(model_dir, statistics.STATISTICS_FILE)
    if writes and (first_step == 0 or not os.path.exists(statistics_path)):
        if not clip_means:
            for _ in itertools.islice(first_batches, statistics.MAX_BATCHES):
                pass
        write_statistics(config.data, model, clip_means, model_dir)
    sample = next(iter(dataset(training=False)))
    eval_actions = []
    if config.train.best_metric:
        eval_actions.append(
            checkpoints.best_checkpoint_action(
                saved, model_dir, metric=config.train.best_metric, step=step, writes=writes
            )
        )
    if writes and first_step == 0:
        write_hyperparameters(config, model_dir)
    return orbit.Controller(
        strategy=strategy,
        trainer=trainer.Trainer(
            model,
            optimizer,
            train_data,
            strategy,
            step=step,
            clip_norm=config.train.clip_norm,
            accumulation_steps=config.train.accumulation_steps,
        ),
        evaluator=trainer.Evaluator(
            model,
            eval_data,
            strategy,
            sample=sample,
            optimizer=optimizer if config.train.ema_momentum else None,
        ),
        global_step=step,
        steps_per_loop=config.train.steps_per_loop,
        checkpoint_manager=manager,
        summary_dir=os.path.join(model_dir, "train") if writes else None,
        eval_summary_dir=os.path.join(model_dir, "eval") if writes else None,
        eval_actions=eval_actions,
    )


def write_statistics(
    data: configs.DataConfig,
    model: GroundingModel,
    clip_means: list[np.ndarray],
    model_dir: str,
) -> None:
    """Writes the training statistics to the folder of the run and its subfolder `best/`."""
    measured = statistics.measure(
        list(clip_records.read_clips(data.records_dir, data.train_split)),
        clip_means,
        channel_mean=keras.ops.convert_to_numpy(model.video_encoder.mean),
        channel_deviation=keras.ops.convert_to_numpy(model.video_encoder.deviation),
        max_steps=data.max_steps,
    )
    for folder in (model_dir, os.path.join(model_dir, checkpoints.BEST_FOLDER)):
        write_json(os.path.join(folder, statistics.STATISTICS_FILE), measured, indent=None)


def write_hyperparameters(config: configs.Experiment, model_dir: str) -> None:
    """Writes the config for the HParams dashboard of TensorBoard."""
    flat = {
        key: value if isinstance(value, (bool, int, float, str)) else str(value)
        for key, value in configs.flat(config).items()
    }
    with tf.summary.create_file_writer(os.path.join(model_dir, "eval")).as_default():
        hparams.hparams(flat, trial_id=model_dir)


if __name__ == "__main__":
    program.run(main, define_flags)
