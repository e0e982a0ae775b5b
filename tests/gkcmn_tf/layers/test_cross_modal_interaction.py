import numpy as np
import pytest

from gkcmn_tf.layers.cross_modal_interaction import CrossModalInteraction, masked_mean


def relu(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize("word_attention", [False, True])
def test_contract(word_attention, check_layer, rng):
    video = rng.normal(size=(2, 3, 2, 2, 4)).astype("float32")
    words = rng.normal(size=(2, 5, 6)).astype("float32")
    mask = np.ones((2, 5), bool)
    layer = CrossModalInteraction(8, word_attention=word_attention)
    check_layer(layer, video, words, mask, shapes=[(2, 3, 2, 2, 8)])


def test_equation_1(rng):
    video = rng.normal(size=(1, 2, 2, 2, 3)).astype("float32")
    words = rng.normal(size=(1, 4, 5)).astype("float32")
    mask = np.array([[True, True, True, False]])
    layer = CrossModalInteraction(6)
    output = np.asarray(layer(video, words, mask))
    wv1, bv1, ws1, bs1, wf2, bf2, wv2, bv2 = layer.get_weights()
    repeated = np.broadcast_to(words[0, :3].mean(axis=0), (1, 2, 2, 2, 5))
    f1 = relu(video @ wv1 + bv1) * relu(repeated @ ws1 + bs1)
    f2 = np.concatenate([relu(f1 @ wf2 + bf2), relu(video @ wv2 + bv2)], axis=-1)
    np.testing.assert_allclose(output, f2, rtol=1e-5, atol=1e-6)


def test_with_word_attention_each_cell_has_its_own_mean(rng):
    video = rng.normal(size=(1, 2, 2, 2, 3)).astype("float32")
    words = rng.normal(size=(1, 4, 5)).astype("float32")
    mask = np.array([[True, True, True, False]])
    layer = CrossModalInteraction(6, word_attention=True)
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


def test_odd_width():
    with pytest.raises(ValueError, match="fusion_width must be even, got 7"):
        CrossModalInteraction(7)
