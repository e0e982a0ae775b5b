import numpy as np
import pytest

from gkcmn_tf.modeling.layers.mixed_convolution import (
    MixedConvolution,
    ParallelConnection,
    SerialConnection,
)

SHAPE = (2, 5, 3, 3, 8)


@pytest.fixture
def x(rng):
    return rng.normal(size=SHAPE).astype("float32")


MASK = np.ones((2, 5), bool)


@pytest.mark.parametrize(
    "layer",
    [
        SerialConnection(8),
        ParallelConnection(8),
        ParallelConnection(8, spatial=False),
        MixedConvolution(),
        MixedConvolution(parallel_spatial=True),
    ],
    ids=["serial", "parallel", "parallel-3d", "mixed", "mixed-eq3"],
)
def test_contract(layer, x, check_layer, check_padding):
    check_layer(layer, x, MASK, shapes=[SHAPE])
    check_padding(layer, x, valid=3)


def test_equation_2(x):
    layer = SerialConnection(8)
    output = np.asarray(layer(x, MASK))
    expected = layer.temporal(layer.spatial(x, MASK), MASK)
    np.testing.assert_allclose(output, expected, atol=1e-6)
    assert (layer.spatial.rank, layer.temporal.rank) == (2, 3)


def test_equation_3(x):
    layer = ParallelConnection(8)
    output = np.asarray(layer(x, MASK))
    assert [branch.rank for branch in layer.branches] == [3, 2]
    np.testing.assert_allclose(
        output, sum(np.asarray(branch(x, MASK)) for branch in layer.branches), atol=1e-6
    )


def test_equation_4_and_its_ablations(x):
    full = MixedConvolution()
    output = np.asarray(full(x, MASK))
    parallel, serial = (np.asarray(network(x, MASK)) for network in full.networks)
    np.testing.assert_allclose(output, parallel + serial + x, atol=1e-5)

    without_sc = MixedConvolution(serial=False)
    without_sc(x, MASK)
    without_sc.set_weights(full.networks[0].get_weights())
    np.testing.assert_allclose(without_sc(x, MASK), parallel + x, atol=1e-5)

    without_pc = MixedConvolution(parallel=False)
    without_pc(x, MASK)
    without_pc.set_weights(full.networks[1].get_weights())
    np.testing.assert_allclose(without_pc(x, MASK), serial + x, atol=1e-5)

    without_mn = MixedConvolution(serial=False, parallel=False)
    np.testing.assert_array_equal(without_mn(x, MASK), x)
    assert without_mn.count_params() == 0
