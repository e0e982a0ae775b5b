"""Serves a SavedModel with MLServer, which speaks the Open Inference Protocol over HTTP and gRPC.

Example, in an environment with `pip install mlserver tensorflow`:
    MLSERVER_MODEL_URI=runs/export/gkcmn/1 mlserver start export/serving

A request names its signature in its parameters: `{"parameters": {"signature": "ground_video"},
"inputs": [{"name": "sentence", "shape": [1], "datatype": "BYTES", "data": ["..."]}, ...]}`.
`export/signatures.py` lists the inputs. Invalid inputs are answered with status 400.
"""

import tensorflow as tf
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse

DEFAULT_SIGNATURE = "serving_default"


class SavedModel(MLModel):
    """The signatures of a SavedModel, which is in the folder MLSERVER_MODEL_URI."""

    async def load(self) -> bool:
        """Loads the SavedModel."""
        self._model = tf.saved_model.load(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Runs the signature that the request names."""
        name = getattr(payload.parameters, "signature", None) or DEFAULT_SIGNATURE
        if name not in self._model.signatures:
            raise InferenceError(f"signature {name!r}: not one of {list(self._model.signatures)}")
        try:
            outputs = self._model.signatures[name](**{i.name: _tensor(i) for i in payload.inputs})
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise InferenceError(str(error)) from error
        encoded = [_encoded(key, value.numpy()) for key, value in outputs.items()]
        return InferenceResponse(model_name=self.name, outputs=encoded)


def _tensor(item):
    if item.datatype == "BYTES":
        return tf.reshape(tf.constant(StringCodec.decode_input(item), tf.string), item.shape)
    return tf.constant(NumpyCodec.decode_input(item))


def _encoded(name, value):
    output = NumpyCodec.encode_output(name, value)
    output.shape = list(value.shape)  # the codec turns vectors into columns
    return output
