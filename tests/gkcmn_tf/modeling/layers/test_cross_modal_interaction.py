import numpy as np
import pytest

from gkcmn_tf.modeling.layers.cross_modal_interaction import (
    CrossModalInteraction,
    masked_max,
    masked_mean,
)


def relu(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize(
    ("pooling", "width"), [("mean", 0), ("max", 0), ("attention", 0), ("attention", 11)]
)
def test_contract(pooling, width, check_layer, rng):
    video = rng.normal(size=(2, 3, 2, 2, 4)).astype("float32")
    words = rng.normal(size=(2, 5, 6)).astype("float32")
    mask = np.ones((2, 5), bool)
    layer = CrossModalInteraction(8, interaction_width=width, sentence_pooling=pooling)
    check_layer(layer, video, words, mask, shapes=[(2, 3, 2, 2, 8)])


@pytest.mark.parametrize(
    ("pooling", "width", "channels"), [("mean", 0, 3), ("max", 0, 3), ("mean", 11, 11)]
)
def test_equation_1(pooling, width, channels, rng):
    video = rng.normal(size=(1, 2, 2, 2, 3)).astype("float32")
    words = rng.normal(size=(1, 4, 5)).astype("float32")
    mask = np.array([[True, True, True, False]])
    layer = CrossModalInteraction(6, interaction_width=width, sentence_pooling=pooling)
    output = np.asarray(layer(video, words, mask))
    wv1, bv1, ws1, bs1, wf2, bf2, wv2, bv2 = layer.get_weights()
    assert wv1.shape == (3, channels) and wf2.shape == (channels, 3)
    repeated = np.broadcast_to(getattr(words[0, :3], pooling)(axis=0), (1, 2, 2, 2, 5))
    f1 = relu(video @ wv1 + bv1) * relu(repeated @ ws1 + bs1)
    f2 = np.concatenate([relu(f1 @ wf2 + bf2), relu(video @ wv2 + bv2)], axis=-1)
    np.testing.assert_allclose(output, f2, rtol=1e-5, atol=1e-6)


def test_attention_pooling_computes_a_separate_mean_for_each_cell(rng):
    video = rng.normal(size=(1, 2, 2, 2, 3)).astype("float32")
    words = rng.normal(size=(1, 4, 5)).astype("float32")
    mask = np.array([[True, True, True, False]])
    layer = CrossModalInteraction(6, sentence_pooling="attention")
    output = np.asarray(layer(video, words, mask))
    wv1, bv1, ws1, bs1, wf2, bf2, wv2, bv2, wq, bq, wk, bk = layer.get_weights()
    for cell in np.ndindex(2, 2, 2):
        v = video[0][cell]
        weights = np.exp((words[0, :3] @ wk + bk) @ (v @ wq + bq) / np.sqrt(3))
        sentence = weights @ words[0, :3] / weights.sum()
        f1 = relu(v @ wv1 + bv1) * relu(sentence @ ws1 + bs1)
        f2 = np.concatenate([relu(f1 @ wf2 + bf2), relu(v @ wv2 + bv2)])
        np.testing.assert_allclose(output[0][cell], f2, rtol=1e-4, atol=1e-5)


def test_masked_mean():
    x = np.array([[[1.0], [3.0], [100.0]]], "float32")
    assert np.asarray(masked_mean(x, np.array([[True, True, False]]))).item() == 2
    assert np.asarray(masked_mean(x, np.zeros((1, 3), bool))).item() == 0


def test_masked_max():
    x = np.array([[[-1.0, 2.0], [-3.0, 5.0], [100.0, 100.0]]], "float32")
    assert np.asarray(masked_max(x, np.array([[True, True, False]]))).tolist() == [[-1, 5]]
    half = masked_max(x.astype("float16"), np.array([[False, True, False]]))
    assert np.asarray(half).tolist() == [[-3, 5]]


def test_an_odd_width_is_an_error():
    with pytest.raises(ValueError, match="fusion_width must be even, got 7"):
        CrossModalInteraction(7)


def test_an_unknown_pooling_is_an_error():
    with pytest.raises(ValueError, match="one of mean, max, attention; got 'last'"):
        CrossModalInteraction(8, sentence_pooling="last")
