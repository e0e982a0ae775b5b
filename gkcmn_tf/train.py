r"""Trains a grounding model on the records of data.prepare.

Example:
    python -m gkcmn_tf.train --experiment=gkcmn --config_file=configs/shapes.yaml \
        --params_override=data.records_dir=runs/demo/records --model_dir=runs/demo

A run that was stopped goes on from its newest checkpoint, as if it had never been stopped. Watch it
with
    tensorboard --logdir=runs

A loss that is not finite ends it; nonfinite_loss.json then names the sentences of that batch.
"""

import os
import sys

import keras
import orbit
import tensorflow as tf
from absl import app, flags, logging
from official.common import distribute_utils
from tensorboard.plugins.hparams import api as hparams

from gkcmn_tf import config as configs
from gkcmn_tf import program
from gkcmn_tf.files import write_json
from gkcmn_tf.records import clip_records, input_pipeline
from gkcmn_tf.training import checkpoints, run_folder, trainer

FLAGS = flags.FLAGS
FAILURE_FILE = "nonfinite_loss.json"


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("experiment", "gkcmn", "Registered experiment: gkcmn, or bm, the baseline.")
    flags.DEFINE_multi_string("config_file", [], "YAML file of changes; several apply in order.")
    flags.DEFINE_string("params_override", None, "Further changes: YAML, or key.subkey=value,...")
    flags.DEFINE_string(
        "model_dir", None, "Folder of settings, checkpoints and TensorBoard logs.", required=True
    )
    flags.DEFINE_enum("mode", "train_and_eval", ["train", "eval", "train_and_eval"], "What to do.")


def main(argv):
    """Trains, evaluates, or both in turn."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    config = configs.load(FLAGS.experiment, FLAGS.config_file, FLAGS.params_override)
    keras.config.set_dtype_policy(config.runtime.precision)
    strategy = distribute_utils.get_distribution_strategy(
        config.runtime.distribution_strategy,
        num_gpus=config.runtime.num_gpus,
        tpu_address=config.runtime.tpu or None,
    )
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
        sys.exit(f"{FLAGS.model_dir}: {error}; {path} names the sentences of its batch")


def train(controller: orbit.Controller, config: configs.TrainConfig, *, evaluate: bool) -> None:
    """Trains up to `config.steps`, and evaluates every `eval_interval` steps and at the end."""
    step = int(controller.global_step.numpy())
    if step >= config.steps:
        logging.info("trained for all %d steps already", config.steps)
    while step < config.steps:
        # A run that goes on evaluates at the same steps as one that was never stopped.
        step = min(step - step % config.eval_interval + config.eval_interval, config.steps)
        controller.train(step, checkpoint_at_completion=step == config.steps)
        if evaluate:
            controller.evaluate()


def batch_sentences(config: configs.Experiment, model_dir: str, step: int) -> list[str]:
    """Ids of the sentences in the training batch of a step of the run in `model_dir`."""
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
    """Orbit's controller of the run in `model_dir`, restored from its newest checkpoint if any."""
    writes = strategy.extended.should_checkpoint
    tokenizer, word_vectors = run_folder.start(config, model_dir, writes=writes)
    with strategy.scope():
        model = run_folder.build_model(config, tokenizer.vocabulary_size)
        if word_vectors is not None:
            model.sentence_encoder.set_word_vectors(word_vectors)
        optimizer = trainer.create_optimizer(config, model)
    step = tf.Variable(0, dtype=tf.int64, name="step")
    saved = checkpoints.contents(model, step=step, optimizer=optimizer)
    manager = checkpoints.Manager(
        saved,
        model_dir,
        writes=writes,
        max_to_keep=config.train.max_checkpoints,
        step_counter=step,
        checkpoint_interval=config.train.checkpoint_interval,
    )
    # Before the input pipeline, which begins at the restored step.
    manager.restore_or_initialize()
    first_step = int(step.numpy())
    logging.info("%s: %d weights, step %d", model_dir, model.count_params(), first_step)

    def dataset(input_context, training):
        return input_pipeline.from_config(
            config.data,
            config.data.train_split if training else config.data.eval_split,
            tokenizer,
            global_batch_size=config.train.global_batch_size,
            training=training,
            seed=config.train.seed,
            start_step=first_step if training else 0,
            input_context=input_context,
        )

    train_data = orbit.utils.make_distributed_dataset(
        strategy, lambda input_context: dataset(input_context, training=True)
    )
    eval_data = orbit.utils.make_distributed_dataset(
        strategy, lambda input_context: dataset(input_context, training=False)
    )
    if first_step == 0:
        model.adapt(dataset(None, training=True))
    sample = next(iter(dataset(None, training=False)))
    eval_actions = []
    if config.train.best_metric:
        eval_actions.append(
            checkpoints.keep_best(
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
            jit_compile=config.runtime.jit_compile,
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


def write_hyperparameters(config: configs.Experiment, model_dir: str) -> None:
    """Writes the config for TensorBoard's table of hyper-parameters."""
    flat = {
        key: value if isinstance(value, (bool, int, float, str)) else str(value)
        for key, value in configs.flat(config).items()
    }
    with tf.summary.create_file_writer(os.path.join(model_dir, "eval")).as_default():
        hparams.hparams(flat, trial_id=model_dir)


if __name__ == "__main__":
    program.run(main, define_flags)
