"""A tiny untrained model and a replacement for I3D."""

import contextlib
import types

import keras
import numpy as np
import pytest

from gkcmn_tf import config as configs
from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.features import extraction
from gkcmn_tf.i3d.layers import MaxPooling
from gkcmn_tf.text import tokenization
from gkcmn_tf.training import run_folder
from gkcmn_tf.video_grounder import VideoGrounder

C, T, N = 3, 6, 5
WORDS = ("the", "red", "square", "moves", "left", "blue")
WEIGHTS = {"source": "stand-in", "sha256": "0"}


def make_model(model="gkcmn", fps=None, precision="float32", **options):
    """The model of an untrained run; its results nevertheless depend on the sentence.

    `options` are settings of the model.
    """
    widths = {
        "word_width": 8,
        "sentence_width": 8,
        "fusion_width": 8,
        "attention_heads": 2,
    } | options
    override = [f"model.{model}.{name}={value}" for name, value in widths.items()]
    override += [f"data.max_steps={T}", f"data.max_words={N}", f"data.feature_channels={C}"]
    override += [f"runtime.precision={precision}"]
    config = configs.load(model, params_override=",".join(override))
    tokenizer = tokenization.Tokenizer(WORDS, N)
    fingerprint = make_extractor(fps).fingerprint
    built = run_folder.build_model(config, tokenizer.vocabulary_size)
    # Large enough that tubes differ.
    built.set_weights([4 * value for value in built.get_weights()])
    run = run_folder.Run(config, tokenizer, fingerprint, built, step=7, model_dir="tiny")
    return run.as_trained_model()


def make_i3d():
    """Means of cells of 8x32x32 pixels: `[J, 8, 224, 224, 3]` to `[J, 1, 7, 7, 3]`."""
    clips = keras.Input((None, None, None, 3))
    pooled = keras.layers.AveragePooling3D((8, 32, 32), padding="same")(clips)
    weighed = keras.layers.Dense(C, kernel_initializer="ones", activation="relu")(pooled)
    return keras.Model(clips, weighed)


def make_flat_i3d():
    """Like `make_i3d`, with the kinds of layers of the real network."""
    clips = keras.Input((None, None, None, 3))
    pooled = MaxPooling((8, 32, 32))(clips)
    return keras.Model(
        clips, keras.layers.Conv3D(C, 3, padding="same", kernel_initializer="ones")(pooled)
    )


def make_flat_extractor():
    return extraction.FeatureExtractor(make_flat_i3d(), WEIGHTS)


def make_extractor(fps=None):
    return extraction.FeatureExtractor(make_i3d(), WEIGHTS, fps=fps)


@contextlib.contextmanager
def stand_in_i3d():
    """Makes `saved_model.export` use the replacement for the I3D of the model."""
    with pytest.MonkeyPatch.context() as patch:
        made = types.SimpleNamespace(i3d=make_i3d())
        patch.setattr(extraction.FeatureExtractor, "from_fingerprint", lambda *_: made)
        yield


def ground(trained, made, sentences, begin=0, end=None):
    """Tubes of sentences in frames `[begin, end)` of extracted features."""
    grounder = VideoGrounder(
        trained.model, trained.tokenizer, trained.features, max_steps=trained.max_steps
    )
    timeline = made.source.timeline
    bounds = timeline.seconds(begin, timeline.frame_count if end is None else end)
    encoded = EncodedVideo(
        made.features, np.arange(len(made.features)), made.source, trained.features
    )
    return grounder.ground(encoded, sentences, begin=bounds[0], end=bounds[1])
