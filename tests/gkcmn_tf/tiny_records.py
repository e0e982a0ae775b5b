"""Records that a tiny model is trained on within seconds; no tests."""

import numpy as np

from gkcmn_tf.features import feature_records
from gkcmn_tf.files import write_json
from gkcmn_tf.records import clip_records

FRAMES, SIZE, CHANNELS = 24, 2, 3
FEATURES = {
    "i3d_source": "random:0",
    "i3d_sha256": "a",
    "endpoint": "Mixed_5c",
    "compute_dtype": "float32",
    "shape": [SIZE, SIZE, CHANNELS],
}
SETTINGS = """
model:
  bm: {word_width: 8, sentence_width: 8, fusion_width: 8, attention_heads: 2, feature_dropout: 0.0}
data: {max_steps: 6, grid_size: 2, feature_channels: 3, queries_per_clip: 2}
train: {steps: 50, global_batch_size: 4, steps_per_loop: 1, checkpoint_interval: 5,
  eval_interval: 20}
"""


def write_records(folder):
    """Writes records of nine different videos with one to three sentences each, and a config."""
    rng = np.random.default_rng(0)
    clips, index = [], 0
    for number in range(9):
        name = f"v{number}"
        features = rng.random((6, SIZE, SIZE, CHANNELS)).astype("float16")
        feature_records.write_video_features(
            str(folder), feature_records.VideoFeatures(name, 25.0, 64, 48, FRAMES, features)
        )
        sentences = []
        for _ in range(1 + number % 3):
            begin = int(rng.integers(0, FRAMES - 4))
            end = int(rng.integers(begin + 2, FRAMES + 1))
            corners = np.sort(rng.uniform([0, 0], [64, 48], (2, 2)), axis=0).ravel()
            boxes = np.tile(corners.astype("float32"), (end - begin, 1))
            text = " ".join(rng.choice(["dog", "cat", "runs", "sits", "there"], 3))
            sentences.append(
                clip_records.Sentence(index, f"s{index}", text, "declarative", 0, begin, end, boxes)
            )
            index += 1
        clips.append(clip_records.Clip(name, 0, FRAMES, 25.0, 64, 48, FRAMES, tuple(sentences)))
    for split in ("train", "val"):
        clip_records.write_clips(str(folder), split, clips, 1)
    write_json(str(folder / "manifest.json"), {"features": FEATURES})
    (folder / "config.yaml").write_text(SETTINGS)
