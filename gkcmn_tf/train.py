r"""Trains a grounding model on the records of data.prepare.

Example:
    python -m gkcmn_tf.train --experiment=gkcmn --config_file=configs/shapes.yaml \
        --params_override=data.records_dir=runs/demo/records --model_dir=runs/demo

A run that was stopped goes on from its newest checkpoint. Watch it with
    tensorboard --logdir=runs
"""

import os

import keras
import orbit
import tensorflow as tf
from absl import app, flags, logging
from official.common import distribute_utils

from gkcmn_tf import config as configs
from gkcmn_tf import input_pipeline, runs, training

FLAGS = flags.FLAGS


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
    # Orbit prints each line of progress, and logs it once more.
    logging.get_absl_logger().addFilter(lambda record: record.filename != "controller.py")
    config = configs.load(FLAGS.experiment, FLAGS.config_file, FLAGS.params_override)
    keras.config.set_dtype_policy(config.runtime.precision)
    strategy = distribute_utils.get_distribution_strategy(
        config.runtime.distribution_strategy,
        num_gpus=config.runtime.num_gpus,
        tpu_address=config.runtime.tpu or None,
    )
    controller = create_controller(config, FLAGS.model_dir, strategy)
    steps = config.train.steps
    if FLAGS.mode == "train":
        controller.train(steps)
    elif FLAGS.mode == "eval":
        controller.evaluate()
    elif controller.global_step.numpy() < steps:
        controller.train_and_evaluate(steps, eval_interval=config.train.eval_interval)
    else:
        logging.info("%s: trained for all %d steps already", FLAGS.model_dir, steps)


def create_controller(
    config: configs.Experiment, model_dir: str, strategy: tf.distribute.Strategy
) -> orbit.Controller:
    """Orbit's controller of the run in `model_dir`, restored from its newest checkpoint if any."""
    tokenizer, word_vectors = runs.start(config, model_dir)
    with strategy.scope():
        model = runs.build_model(config, tokenizer.vocabulary_size)
        if word_vectors is not None:
            model.sentence_encoder.set_word_vectors(word_vectors)
        optimizer = training.create_optimizer(config.train, model)
    step = optimizer.iterations.value
    manager = tf.train.CheckpointManager(
        runs.checkpoint(model, step=step, optimizer=optimizer),
        model_dir,
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
    return orbit.Controller(
        strategy=strategy,
        trainer=training.Trainer(
            model, optimizer, train_data, strategy, clip_norm=config.train.clip_norm
        ),
        evaluator=training.Evaluator(model, eval_data, strategy, sample=sample),
        global_step=step,
        steps_per_loop=config.train.steps_per_loop,
        checkpoint_manager=manager,
        summary_dir=os.path.join(model_dir, "train"),
        eval_summary_dir=os.path.join(model_dir, "eval"),
    )


if __name__ == "__main__":
    define_flags()
    app.run(main)
