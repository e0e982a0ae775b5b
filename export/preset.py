r"""Writes a trained run as a preset, which `VideoGrounder.from_preset` loads.

Example:
    python -m export.preset --model_dir=runs/demo --output_dir=presets/my_shapes \
        --description="GKCMN on the shapes data set." --limits="Knows moving shapes only."

The folder holds config.json, model.weights.h5, vocabulary.txt, features.json and a model card,
README.md, with the metrics of the run's metrics.json if gkcmn_tf.evaluate has written one.
Publish it as it is; a repository of the Hugging Face Hub loads as hf://owner/name.
"""

import datetime
import os

from absl import app, flags

from gkcmn_tf import preset, program
from gkcmn_tf.training import run_folder

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Folder of a run of gkcmn_tf.train.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder of the preset.", required=True)
    flags.DEFINE_string("name", None, "Its name; default: that of --output_dir.")
    flags.DEFINE_string("description", "", "A sentence or two for the model card.")
    flags.DEFINE_string("limits", "", "What the model cannot do, for the model card.")
    flags.DEFINE_enum("weights", "float16", preset.WEIGHTS_DTYPES, "What weights are stored in.")


def main(argv):
    """Loads the run, writes the preset, prints its card."""
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
