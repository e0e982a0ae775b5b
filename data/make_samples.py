r"""Copies videos of a split with their sentences and ground-truth tubes into a samples folder.

Example:
    python -m data.make_samples --records_dir=runs/demo/records \
        --video_dir=runs/demo/shapes/videos --output_dir=gkcmn_tf/samples

This command created the samples of the package. It takes the first videos of the split whose clip
is the whole video, each with its first sentences; none is selected by hand.
"""

import os
import shutil

from absl import app, flags

from gkcmn_tf import program
from gkcmn_tf.files import write_json
from gkcmn_tf.records import clip_records
from gkcmn_tf.sample_videos import SAMPLES_FILE

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string(
        "records_dir", None, "Records folder written by data.prepare.", required=True
    )
    flags.DEFINE_string("video_dir", None, "Folder with GROUP/VIDEO.mp4.", required=True)
    flags.DEFINE_string("output_dir", None, "Output folder of the samples.", required=True)
    flags.DEFINE_string("split", "test", "Split to copy from.")
    flags.DEFINE_integer("num_videos", 6, "Number of videos.", lower_bound=1)
    flags.DEFINE_integer(
        "num_sentences", 4, "Maximum number of sentences per video.", lower_bound=1
    )


def main(argv):
    """Copies the videos and writes the list of samples."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    paths = {
        os.path.splitext(name)[0]: os.path.join(folder, name)
        for folder, _, names in os.walk(FLAGS.video_dir)
        for name in names
    }
    entries = []
    os.makedirs(FLAGS.output_dir, exist_ok=True)
    for clip in clip_records.read_clips(FLAGS.records_dir, FLAGS.split):
        if len(entries) == FLAGS.num_videos:
            break
        name = f"{clip.video_id}.mp4"
        if (clip.begin, clip.end) != (0, clip.frame_count) or name in (e["video"] for e in entries):
            continue
        shutil.copyfile(paths[clip.video_id], os.path.join(FLAGS.output_dir, name))
        sentences = [
            {
                "text": sentence.text,
                "begin": sentence.begin,
                "end": sentence.end,
                "boxes": sentence.boxes.round(2).astype(float).tolist(),
            }
            for sentence in clip.sentences[: FLAGS.num_sentences]
        ]
        entries.append({"video": name, "sentences": sentences})
    write_json(os.path.join(FLAGS.output_dir, SAMPLES_FILE), entries, indent=None)


if __name__ == "__main__":
    program.run(main, define_flags)
