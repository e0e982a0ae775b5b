from gkcmn_tf.i3d.variables import variable_shapes
from tests.gkcmn_tf.i3d.reference_i3d import NAMES_AND_SHAPES


def test_names_and_shapes_equal_those_of_the_published_checkpoint():
    expected = {name: tuple(shape) for name, shape in NAMES_AND_SHAPES.items()}
    assert variable_shapes() == expected
    assert len(expected) == 230
