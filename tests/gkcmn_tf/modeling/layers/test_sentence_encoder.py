import numpy as np
import pytest

from gkcmn_tf.modeling.layers.sentence_encoder import SentenceEncoder


def encoder(**kwargs):
    return SentenceEncoder(
        10, word_width=8, sentence_width=6, attention_heads=2, name="encoder", **kwargs
    )


def test_contract(check_layer, rng):
    tokens = np.array([[2, 3, 4, 0], [5, 0, 0, 0]], "int32")
    check_layer(encoder(), tokens, tokens != 0, shapes=[(2, 4, 6)])


def test_padding_does_not_affect_valid_words(rng):
    layer = encoder()
    short = np.array([[2, 3, 4]], "int32")
    long = np.array([[2, 3, 4, 0, 0]], "int32")
    np.testing.assert_allclose(
        np.asarray(layer(long, long != 0))[:, :3], np.asarray(layer(short, short != 0)), atol=1e-6
    )


def test_word_order_matters(rng):
    layer = encoder()
    a, b = np.array([[2, 3, 4]], "int32"), np.array([[4, 3, 2]], "int32")
    mask = np.ones((1, 3), bool)
    means = [np.asarray(layer(x, mask)).mean(axis=1) for x in (a, b)]
    assert np.abs(means[0] - means[1]).max() > 1e-3


def test_word_vectors(rng):
    layer = encoder(train_word_vectors=False)
    layer.build((None, 4))
    vectors = rng.normal(size=(10, 8)).astype("float32")
    layer.set_word_vectors(vectors)
    np.testing.assert_array_equal(layer.embedding.get_weights()[0], vectors)
    assert not layer.embedding.trainable_variables
    with pytest.raises(ValueError, match=r"expected \(10, 8\)"):
        layer.set_word_vectors(vectors[:, :4])


def test_an_odd_width_is_an_error():
    with pytest.raises(ValueError, match="sentence_width must be even, got 5"):
        SentenceEncoder(10, word_width=8, sentence_width=5)
