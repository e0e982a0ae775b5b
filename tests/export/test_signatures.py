from export import grounding_graph, signatures
from tests.export.tiny_model import C, T, make_i3d, make_model


def test_the_graph_has_the_specified_inputs_and_outputs():
    graph = grounding_graph.GroundingGraph(make_model(), make_i3d(), top_k=3)
    specified = signatures.signatures((7, 7, C), max_steps=T, top_k=3)
    found = graph.signatures()
    assert found.keys() == specified.keys()
    for name, signature in specified.items():
        inputs, _ = found[name].structured_input_signature
        assert {spec.name: (spec.shape, spec.dtype) for spec in inputs} == {
            key: (spec.shape, spec.dtype) for key, spec in signature.inputs.items()
        }
        outputs = found[name].structured_outputs
        assert outputs.keys() == signature.outputs.keys()
        for key, spec in signature.outputs.items():
            assert outputs[key].dtype == spec.dtype, (name, key)
            assert outputs[key].shape.rank == spec.shape.rank, (name, key)
            assert spec.shape.is_compatible_with(outputs[key].shape), (name, key)
