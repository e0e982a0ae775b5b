r"""Writes a trained run as a preset, which `VideoGrounder.from_preset` loads.

Example:
    python -m export.preset --model_dir=runs/demo --output_dir=presets/my_shapes \
        --description="GKCMN on the shapes data set." --limits="For videos of moving shapes only."

The folder contains config.json, model.weights.h5, vocabulary.txt, features.json and a model card,
README.md. The card includes the metrics of the run's metrics.json, if gkcmn_tf.evaluate has
written it. The folder can be published as a Hugging Face Hub repository and loaded as
hf://owner/name.
"""

import datetime
import os

from absl import app, flags

from gkcmn_tf import preset, program
from gkcmn_tf.training import run_folder

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Run folder of gkcmn_tf.train.", required=True)
    flags.DEFINE_string("output_dir", None, "Output folder of the preset.", required=True)
    flags.DEFINE_string("name", None, "Name of the preset; default: the last part of --output_dir.")
    flags.DEFINE_string("description", "", "Description for the model card.")
    flags.DEFINE_string("limits", "", "Limitations of the model, for the model card.")
    flags.DEFINE_enum("weights", "float16", preset.WEIGHTS_DTYPES, "Storage type of the weights.")


def main(argv):
    """Loads the run, writes the preset and prints the model card."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    loaded = run_folder.load(FLAGS.model_dir).as_trained_model()
    loaded.about.update(
        name=FLAGS.name or os.path.basename(os.path.abspath(FLAGS.output_dir)),
        description=FLAGS.description,
        limits=FLAGS.limits,
        date=datetime.date.today().isoformat(),
    )
    preset.save(loaded, FLAGS.output_dir, weights=FLAGS.weights)
    with open(os.path.join(FLAGS.output_dir, preset.CARD_FILE), encoding="utf-8") as card:
        print(card.read())


if __name__ == "__main__":
    program.run(main, define_flags)
