r"""Asks a model server for the tubes of sentences about a video file.

Example:
    python -m export.client --server=localhost:8500 --video=park.mp4 \
        --query="the red square moving left"
    python -m export.client --server=localhost:8501 --protocol=rest --video=park.mp4 --query="..."

The server is TensorFlow Serving, or another that speaks its gRPC or REST API, with a model of
`export.saved_model`. Prints a line of JSON for each query, as `gkcmn_tf.ground` does. Frames are
resized here, by the code that training used; so the answer is that of `gkcmn_tf.ground`, up to the
arithmetic. Several queries share the work on the video. REST sends all numbers as text: only for
short videos.
"""

import json
from collections.abc import Sequence
from typing import Protocol

import grpc
import numpy as np
import requests
import tensorflow as tf
import urllib3
from absl import app, flags
from tensorflow_serving.apis import prediction_service_pb2_grpc

from gkcmn_tf import program, tubes
from gkcmn_tf.queries import in_file_frames
from gkcmn_tf.video import reading

from . import warmup

FLAGS = flags.FLAGS

# TensorFlow Serving's own limit is that of a protocol buffer, 2 GiB.
MAX_REQUEST_BYTES = 2**31 - 2**20
_HINTS = {
    grpc.StatusCode.UNAVAILABLE: "does a server listen there, and is this its gRPC port?",
    grpc.StatusCode.NOT_FOUND: "does the server serve a model of this name (--model)?",
    grpc.StatusCode.DEADLINE_EXCEEDED: "give it more time (--timeout), or a shorter video",
}


class ServingError(program.ProgramError):
    """The server cannot be reached, or refuses; the message names the server and the reason."""


class Server(Protocol):
    """What `GrpcServer` and `RestServer` have in common."""

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature of `export.signatures`; `ServingError` if that fails."""


class GrpcServer:
    """A model server, over gRPC.

    Args:
        address: `host:port`.
        model: its name there.
        timeout: of a request, in seconds, retries included.
        retries: how often to try again when the server is not available; at most 4.
    """

    def __init__(self, address: str, *, model: str, timeout: float, retries: int):
        self._address = address
        self._model = model
        self._timeout = timeout
        policy = {
            "maxAttempts": retries + 1,
            "initialBackoff": "0.2s",
            "maxBackoff": "5s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        service = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]} if retries else {}
        options = {
            "grpc.max_send_message_length": -1,
            "grpc.max_receive_message_length": -1,
            "grpc.service_config": json.dumps(service),
            # A request that does not fit here is not tried again.
            "grpc.per_rpc_retry_buffer_size": 2**31 - 1,
        }
        channel = grpc.insecure_channel(address, options=list(options.items()))
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Server`."""
        request = warmup.create_request(signature, inputs, self._model)
        try:
            response = self._stub.Predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            hint = _HINTS.get(error.code())
            raise ServingError(
                f"{self._address}, {signature}: {error.code().name}: {error.details()}"
                + (f"; {hint}" if hint else "")
            ) from error
        return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


class RestServer:
    """A model server, over REST; arguments as for `GrpcServer`, but each try has `timeout`."""

    def __init__(self, address: str, *, model: str, timeout: float, retries: int):
        self._url = f"http://{address}/v1/models/{model}:predict"
        self._timeout = timeout
        policy = urllib3.Retry(
            total=retries,
            backoff_factor=0.2,
            status_forcelist=(502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
        )
        self._session = requests.Session()
        self._session.mount("http://", requests.adapters.HTTPAdapter(max_retries=policy))

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Server`."""
        body = {
            "signature_name": signature,
            "inputs": {name: np.asarray(value).tolist() for name, value in inputs.items()},
        }
        where = f"{self._url}, {signature}"
        try:
            response = self._session.post(self._url, json=body, timeout=self._timeout)
            answer = response.json()
        except requests.JSONDecodeError as error:
            raise ServingError(
                f"{where}: status {response.status_code}, and no JSON; is this the server's REST "
                "port?"
            ) from error
        except requests.RequestException as error:
            raise ServingError(
                f"{where}: {error}; does a server listen there, and does it need more time "
                "(--timeout)?"
            ) from error
        if "outputs" not in answer:
            raise ServingError(f"{where}: status {response.status_code}: {answer.get('error')}")
        outputs = answer["outputs"]
        # A signature with a single output comes without its name.
        outputs = outputs if isinstance(outputs, dict) else {"features": outputs}
        return {name: np.array(value) for name, value in outputs.items()}


SERVERS = {"grpc": GrpcServer, "rest": RestServer}


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("server", None, "host:port.", required=True)
    flags.DEFINE_enum("protocol", "grpc", sorted(SERVERS), "The API to speak.")
    flags.DEFINE_string("model", warmup.MODEL_NAME, "Its name on the server.")
    flags.DEFINE_string("video", None, "Video file.", required=True)
    flags.DEFINE_multi_string("query", None, "Sentence; may be repeated.", required=True)
    flags.DEFINE_float("fps", None, "Frame rate of a model trained with data.prepare --fps.")
    flags.DEFINE_float("timeout", 120.0, "Seconds to wait for an answer.", lower_bound=0)
    flags.DEFINE_integer("retries", 3, "Tries after a failed one.", lower_bound=0, upper_bound=4)


def main(argv):
    """Asks, and prints the tubes."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    server = SERVERS[FLAGS.protocol](
        FLAGS.server, model=FLAGS.model, timeout=FLAGS.timeout, retries=FLAGS.retries
    )
    for answer in ground_video(server, FLAGS.video, FLAGS.query, fps=FLAGS.fps):
        print(json.dumps(answer))


def ground_video(
    server: Server, path: str, queries: Sequence[str], *, fps: float | None = None
) -> list[dict]:
    """The tube of each query, as `gkcmn_tf.ground` prints it.

    Args:
        server: where to ask.
        path: the video.
        queries: sentences; of several, the video is encoded once.
        fps: the frame rate that the model was trained at, None for every frame.

    Raises:
        ServingError: the server cannot be reached, or refuses.
        FileNotFoundError: there is no video.
        ValueError: it cannot be decoded, or does not fit into one request.
    """
    stream = reading.decode_frames(path, fps=fps)
    frames = np.stack(list(_bounded(stream, path)))
    source = stream.source
    count = np.array([len(frames)], np.int32)
    picture = {
        "fps": np.array([stream.fps], np.float32),
        "width": np.array([stream.info.width], np.int32),
        "height": np.array([stream.info.height], np.int32),
    }
    shown = {"frames": frames[None], "frame_count": count}
    if len(queries) == 1:
        found = server.predict("ground_video", shown | picture | {"sentence": np.array(queries)})
    else:
        encoded = server.predict("encode_video", shown)["features"].astype(np.float32)
        clip = {"features": encoded, "begin": np.zeros_like(count), "end": count}
        inputs = clip | picture | {"sentences": np.array([queries])}
        found = server.predict("ground_features", inputs)
        found = {name: value[0] for name, value in found.items()}
    answers = []
    for i, query in enumerate(queries):
        begin, end = map(int, found["segment_frames"][i])
        boxes = found["boxes"][i][begin:end].astype(float)
        tube = tubes.Tube(begin, end, np.round(boxes, 2), float(found["score"][i]))
        tube = in_file_frames(tube, source, source.timeline.frame_count, query)
        answers.append(tube.to_json())
    return answers


def _bounded(stream, path):
    most = MAX_REQUEST_BYTES // (reading.FRAME_SIZE**2 * 3)
    for number, frame in enumerate(stream):
        if number == most:
            raise ValueError(f"{path}: more than {most} frames do not fit into a request; cut it")
        yield frame


if __name__ == "__main__":
    program.run(main, define_flags)
