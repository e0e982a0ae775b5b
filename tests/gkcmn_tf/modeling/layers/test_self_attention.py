import numpy as np
import pytest

from gkcmn_tf.modeling.layers.self_attention import SelfAttention


def test_contract(check_layer, rng):
    x = rng.normal(size=(2, 5, 8)).astype("float32")
    layer = SelfAttention(2)
    check_layer(layer, x, np.ones((2, 5), bool), shapes=[(2, 5, 8)])
    assert layer.count_params() == 4 * (8 * 8 + 8) + 2 * 8


def test_padded_positions_do_not_affect_valid_ones(check_padding, rng):
    check_padding(SelfAttention(2), rng.normal(size=(2, 6, 8)), valid=3)


def test_output_equals_naive_attention(rng):
    x = rng.normal(size=(1, 3, 4)).astype("float32")
    mask = np.array([[True, True, False]])
    layer = SelfAttention(1)
    output = np.asarray(layer(x, mask))
    (wq, bq, wk, bk, wv, bv, wo, bo, gamma, beta) = layer.get_weights()
    q, k, v = (x[0] @ w[:, 0] + b[0] for w, b in ((wq, bq), (wk, bk), (wv, bv)))
    logits = q @ k.T / np.sqrt(4)
    weights = np.exp(logits) * mask
    attended = (weights / weights.sum(-1, keepdims=True)) @ v
    y = x[0] + attended @ wo[0] + bo
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(output[0], y * gamma + beta, atol=1e-5)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="3 heads do not divide width 8"):
        SelfAttention(3).build((None, 5, 8))
