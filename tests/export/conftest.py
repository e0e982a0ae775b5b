"""The SavedModel of a tiny model, and model servers in this process."""

import concurrent.futures
import http.server
import json
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export import saved_model
from gkcmn_tf.video import writing
from tests.export.tiny_model import make_model, stand_in_i3d


@pytest.fixture(
    scope="session",
    params=[("gkcmn", "float32"), ("bm", "float32"), ("gkcmn", "mixed_bfloat16")],
    ids="-".join,
)
def trained(request):
    model, precision = request.param
    return make_model(model, precision=precision)


@pytest.fixture(scope="session")
def video_path(tmp_path_factory):
    """22 frames of 64x48 at 10 per second in which a red square moves."""
    frames = np.full((22, 48, 64, 3), 90, np.uint8)
    for number, frame in enumerate(frames):
        frame[10:30, 2 * number : 2 * number + 16] = [250, 20, 20]
    path = str(tmp_path_factory.mktemp("video") / "square.mp4")
    writing.write_video(path, frames, 10)
    return path


@pytest.fixture(scope="session")
def gkcmn():
    return make_model()


@pytest.fixture(scope="session")
def folder(gkcmn, video_path, tmp_path_factory):
    """A SavedModel of `gkcmn` with warm-up requests: FOLDER/1."""
    folder = tmp_path_factory.mktemp("export") / "gkcmn" / "1"
    with stand_in_i3d():
        saved_model.export(
            gkcmn,
            str(folder),
            warmup_video=video_path,
            warmup_queries=["the red square moves left", "the blue square"],
        )
    return folder


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """TensorFlow Serving's APIs of prediction and metadata on a loaded SavedModel.

    Attributes:
        unavailable: number of the next requests to reject.
        called: signatures of all requests.
    """

    def __init__(self, folder):
        self.model = tf.saved_model.load(str(folder))
        stored = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        self.signature_def = stored.meta_graphs[0].signature_def
        self.unavailable = 0
        self.called = []

    def Predict(self, request, context):  # noqa: N802 - the protocol's name
        spec = request.model_spec
        self.called.append(spec.signature_name)
        self.check(spec, context)
        try:
            outputs = self.run(
                spec.signature_name, {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
            )
        except (tf.errors.InvalidArgumentError, ValueError, TypeError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = predict_pb2.PredictResponse(model_spec=spec)
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response

    def GetModelMetadata(self, request, context):  # noqa: N802 - the protocol's name
        self.check(request.model_spec, context)
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=request.model_spec)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self.signature_def.items():
            signatures.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(signatures)
        return response

    def check(self, spec, context):
        """Ends requests while the server loads, and those of other models."""
        if self.unavailable:
            self.unavailable -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "loading")
        if spec.name != "gkcmn":
            context.abort(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})"
            )

    def run(self, signature, inputs):
        """Maps numpy inputs to numpy outputs."""
        inputs = {name: tf.constant(value) for name, value in inputs.items()}
        outputs = self.model.signatures[signature](**inputs)
        return {name: value.numpy() for name, value in outputs.items()}


@pytest.fixture(scope="session")
def service(folder):
    return PredictionService(folder)


@pytest.fixture(scope="session")
def grpc_address(service):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), options=options)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield f"localhost:{port}"
    server.stop(None)


@pytest.fixture(scope="session")
def rest_address(service):
    """TensorFlow Serving's REST API; numbers are converted to the dtype of the signature."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self.accepted("/v1/models/gkcmn:predict"):
                return None
            name = body["signature_name"]
            specs = service.model.signatures[name].structured_input_signature[1]
            try:
                outputs = service.run(
                    name,
                    {
                        key: np.array(value, specs[key].dtype.as_numpy_dtype)
                        for key, value in body["inputs"].items()
                    },
                )
            except tf.errors.InvalidArgumentError as error:
                return self.answer(400, {"error": error.message})
            outputs = {key: value.tolist() for key, value in outputs.items()}
            single = next(iter(outputs.values())) if len(outputs) == 1 else outputs
            return self.answer(200, {"outputs": single})

        def do_GET(self):
            if self.accepted("/v1/models/gkcmn/metadata"):
                signatures = {
                    name: {"inputs": {key: _as_json(x) for key, x in signature.inputs.items()}}
                    for name, signature in service.signature_def.items()
                }
                described = {"signature_def": {"signature_def": signatures}}
                self.answer(200, {"model_spec": {"name": "gkcmn"}, "metadata": described})

        def accepted(self, path):
            if self.path != path:
                self.answer(404, {"error": "Servable not found for request"})
                return False
            if service.unavailable:
                service.unavailable -= 1
                self.answer(503, {"error": "loading"})
                return False
            return True

        def answer(self, status, content):
            payload = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"localhost:{server.server_port}"
    server.shutdown()


def _as_json(tensor_info):
    """Shape of a tensor as TensorFlow Serving's REST API writes it, with sizes as text."""
    sizes = [{"size": str(axis.size), "name": ""} for axis in tensor_info.tensor_shape.dim]
    return {"tensor_shape": {"dim": sizes, "unknown_rank": False}}
