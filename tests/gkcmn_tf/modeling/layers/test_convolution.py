import numpy as np
import pytest

from gkcmn_tf.modeling.layers.convolution import ConvolutionBlock, mask_steps


@pytest.mark.parametrize("rank", [2, 3])
def test_contract(rank, check_layer, rng):
    x = rng.normal(size=(2, 5, 4, 4, 6)).astype("float32")
    layer = ConvolutionBlock(12, rank=rank)
    check_layer(layer, x, np.ones((2, 5), bool), shapes=[(2, 5, 4, 4, 12)])
    assert layer.count_params() == 3**rank * 6 * 12 + 2 * 12


@pytest.mark.parametrize("rank", [2, 3])
def test_padded_steps_do_not_affect_valid_ones(rank, check_padding, rng):
    check_padding(ConvolutionBlock(8, rank=rank), rng.normal(size=(2, 6, 3, 3, 4)), valid=4)


def test_rank_2_sees_one_frame_and_rank_3_also_its_neighbours(rng):
    x = rng.normal(size=(1, 7, 3, 3, 4)).astype("float32")
    changed = x.copy()
    changed[:, 3] += 1
    mask = np.ones((1, 7), bool)
    for rank, expected in ((2, [3]), (3, [2, 3, 4])):
        layer = ConvolutionBlock(8, rank=rank)
        layer.build(x.shape)
        # Without the normalisation, whose statistics depend on the whole clip.
        layer.normalization.call = lambda x, step_mask, training: x
        difference = np.abs(np.asarray(layer(changed, mask)) - np.asarray(layer(x, mask)))
        assert np.flatnonzero(difference.max(axis=(0, 2, 3, 4)) > 1e-6).tolist() == expected


def test_samples_of_a_batch_are_independent(rng):
    x = rng.normal(size=(3, 4, 3, 3, 4)).astype("float32")
    layer = ConvolutionBlock(8, rank=3)
    together = np.asarray(layer(x, np.ones((3, 4), bool)))
    alone = np.asarray(layer(x[1:2], np.ones((1, 4), bool)))
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6)


def test_mask_steps():
    x = np.ones((1, 3, 2), "float32")
    assert np.asarray(mask_steps(x, np.array([[True, True, False]]))).sum() == 4


def test_unknown_rank():
    with pytest.raises(ValueError, match="rank must be 2 or 3, got 1"):
        ConvolutionBlock(8, rank=1)
