import numpy as np
import pytest

from gkcmn_tf.modeling.layers.temporal_head import RecurrentBranch, TemporalHead


@pytest.mark.parametrize("pooling", [False, True])
@pytest.mark.parametrize("self_attention", [True, False])
def test_contract(self_attention, pooling, check_layer, check_padding, rng):
    x = rng.normal(size=(2, 6, 3, 3, 4)).astype("float32")
    layer = TemporalHead(
        5, width=8, attention_heads=2, self_attention=self_attention, attention_pooling=pooling
    )
    check_layer(layer, x, np.ones((2, 6), bool), shapes=[(2, 6, 5), (2, 6, 5, 2)])
    check_padding(layer, x, valid=4)


def test_embedding_has_kernels_1_3_and_5(rng):
    layer = TemporalHead(5, width=8)
    layer.build((None, 6, 3, 3, 4))
    kernels = [tuple(scale.convolution.kernel.shape) for scale in layer.scales]
    assert kernels == [(1, 1, 1, 4, 8), (3, 3, 3, 4, 8), (5, 5, 5, 4, 8)]
    assert tuple(layer.merge.convolution.kernel.shape) == (3, 3, 3, 24, 8)


def test_the_head_without_attention_has_fewer_weights():
    heads = [TemporalHead(5, width=8, self_attention=flag) for flag in (True, False)]
    for head in heads:
        head.build((None, 6, 3, 3, 4))
    assert heads[0].count_params() - heads[1].count_params() == 4 * (8 * 8 + 8) + 2 * 8


def test_recurrent_branch(check_layer, check_padding, rng):
    x = rng.normal(size=(2, 6, 8)).astype("float32")
    layer = RecurrentBranch(3, width=8)
    check_layer(layer, x, np.ones((2, 6), bool), shapes=[(2, 6, 3)])
    check_padding(layer, x, valid=2)


def test_attention_pooling_weighs_cells_by_their_score(rng):
    layer = TemporalHead(5, width=2, attention_heads=1, attention_pooling=True)
    layer.build((None, 3, 2, 2, 4))
    layer.cell_score.kernel.assign([[100.0], [0.0]])
    x = np.zeros((1, 3, 2, 2, 2), "float32")
    x[0, 0, 1, 0] = [1, 7]  # one high score
    x[0, 1, 0, :, :] = [[1, 3], [1, 5]]  # two equal scores
    np.testing.assert_allclose(np.asarray(layer._pool(x))[0], [[1, 7], [1, 4], [0, 0]], atol=1e-5)
