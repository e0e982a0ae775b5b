r"""Grounds sentences in a video file with a model server.

Example:
    python -m export.client --server=localhost:8500 --video=park.mp4 \
        --query="the red square moving left"
    python -m export.client --server=localhost:8501 --protocol=rest --video=park.mp4 --query="..."

The server is TensorFlow Serving, or any server with the same gRPC or REST API, with a model
exported by `export.saved_model`. The program prints a line of JSON per query, like
`gkcmn_tf.ground`. Frames are resized by the client with the same code as in training, so results
equal those of `gkcmn_tf.ground` up to rounding. With several queries the video is encoded once.
REST sends numbers as text and is suitable only for short videos.
"""

import contextlib
import json
import math
import re
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Protocol

import grpc
import numpy as np
import requests
import tensorflow as tf
import urllib3
from absl import app, flags, logging
from tensorflow_serving.apis import prediction_service_pb2_grpc

from gkcmn_tf import program, tubes
from gkcmn_tf.queries import in_file_frames
from gkcmn_tf.video import reading
from gkcmn_tf.video.windows import windows_in

from . import warmup

FLAGS = flags.FLAGS

# TensorFlow Serving is limited by the maximum size of a protocol buffer, 2 GiB.
MAX_REQUEST_BYTES = 2**31 - 2**20
_HINTS = {
    grpc.StatusCode.UNAVAILABLE: "check that the server is running and that this is its gRPC port",
    grpc.StatusCode.NOT_FOUND: "check the model name (--model)",
    grpc.StatusCode.DEADLINE_EXCEEDED: "increase --timeout, or use a shorter video",
}


class ServingError(program.ProgramError):
    """The server is unreachable or rejects a request; the message names the server and reason."""


class Server(Protocol):
    """Interface of `GrpcServer` and `RestServer`.

    Attributes:
        address: `host:port`.
    """

    address: str

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature of `export.signatures`; `ServingError` if the request fails."""


class GrpcServer:
    """A model server with a gRPC API.

    Args:
        address: `host:port`.
        model: name of the model on the server.
        timeout: timeout of a request including retries, in seconds.
        retries: number of retries if the server is unavailable, at most 4.
    """

    def __init__(self, address: str, *, model: str, timeout: float, retries: int):
        self.address = address
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
            # Requests larger than this buffer are not retried.
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
                f"{self.address}, {signature}: {error.code().name}: {error.details()}"
                + (f"; {hint}" if hint else "")
                + _proxy_hint(self.address)
            ) from error
        outputs = {}
        for name, value in response.outputs.items():
            with _outputs_checked(self.address, signature, name):
                size = math.prod(axis.size for axis in value.tensor_shape.dim)
                if size > MAX_REQUEST_BYTES:
                    raise ValueError(f"has {size} values")
                outputs[name] = tf.make_ndarray(value)
        return outputs


class RestServer:
    """A model server with a REST API.

    The arguments are those of `GrpcServer`, except that `timeout` applies to each attempt.
    """

    def __init__(self, address: str, *, model: str, timeout: float, retries: int):
        self.address = address
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
        except (requests.JSONDecodeError, RecursionError) as error:
            raise ServingError(
                f"{where}: status {response.status_code}, response is not JSON; check that this is "
                f"the server's REST port{_proxy_hint(self.address)}"
            ) from error
        except requests.RequestException as error:
            raise ServingError(
                f"{where}: {error}; check that the server is running, or increase --timeout"
                + _proxy_hint(self.address)
            ) from error
        if not isinstance(answer, dict) or "outputs" not in answer:
            reason = answer.get("error") if isinstance(answer, dict) else f"{answer!r:.100}"
            raise ServingError(f"{where}: status {response.status_code}: {reason}")
        outputs = answer["outputs"]
        # The REST API omits the name of a single output.
        outputs = outputs if isinstance(outputs, dict) else {"features": outputs}
        arrays = {}
        for name, value in outputs.items():
            with _outputs_checked(self.address, signature, name):
                arrays[name] = np.array(value)
        return arrays


SERVERS = {"grpc": GrpcServer, "rest": RestServer}


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("server", None, "Address of the server, host:port.", required=True)
    flags.DEFINE_enum("protocol", "grpc", sorted(SERVERS), "API of the server.")
    flags.DEFINE_string("model", warmup.MODEL_NAME, "Name of the model on the server.")
    flags.DEFINE_string("video", None, "Video file.", required=True)
    flags.DEFINE_multi_string("query", None, "Sentence to ground; repeatable.", required=True)
    flags.DEFINE_float(
        "fps",
        None,
        "Frame rate of the training records (data.prepare --fps), in frames per second; default: "
        "every frame.",
    )
    flags.DEFINE_float("timeout", 120.0, "Timeout of a request, in seconds.", lower_bound=0)
    flags.DEFINE_integer(
        "retries", 3, "Number of retries of a failed request.", lower_bound=0, upper_bound=4
    )


def main(argv):
    """Grounds each query and prints the tubes."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    server = SERVERS[FLAGS.protocol](
        host_and_port(FLAGS.server), model=FLAGS.model, timeout=FLAGS.timeout, retries=FLAGS.retries
    )
    for answer in ground_video(server, FLAGS.video, FLAGS.query, fps=FLAGS.fps):
        print(json.dumps(answer))


def host_and_port(server: str) -> str:
    """Returns `host:port` of an address that may have a scheme and a final slash.

    Raises:
        UsageError: the address is another one.
    """
    found = re.fullmatch(r"(?:(?:http|grpc)://)?([^/\s]+:\d+)/?", server)
    if found is None:
        raise app.UsageError(f"--server={server}: expected host:port, such as localhost:8500")
    return found[1]


@contextlib.contextmanager
def _outputs_checked(address: str, signature: str, name: str) -> Iterator[None]:
    """Names the output that is not as `export.signatures` says, in a `ServingError`."""
    try:
        yield
    except (ValueError, TypeError, MemoryError) as error:
        raise ServingError(
            f"{address}, {signature}: output {name}: {error}; check that the model was exported by "
            "export.saved_model"
        ) from error


def _output(
    server: Server,
    signature: str,
    outputs: dict[str, np.ndarray],
    name: str,
    shape: tuple[int | None, ...],
) -> np.ndarray:
    """Returns an output as float64; `ServingError` unless it has the shape and finite numbers."""
    with _outputs_checked(server.address, signature, name):
        if name not in outputs:
            raise ValueError(f"is missing; got {', '.join(outputs) or 'no outputs'}")
        value = np.asarray(outputs[name], np.float64)
        fits = len(value.shape) == len(shape) and all(
            wanted in (None, size) for size, wanted in zip(value.shape, shape, strict=True)
        )
        if not fits:
            raise ValueError(f"expected shape {shape}, got {value.shape}")
        if not np.isfinite(value).all():
            raise ValueError("expected finite numbers, got NaN or infinity")
    return value


def _proxy_hint(address: str) -> str:
    """Tells of a proxy in the environment that requests to `address` pass."""
    host = address.rpartition(":")[0]
    proxy = urllib.request.getproxies().get("http")
    if not proxy or urllib.request.proxy_bypass(host):
        return ""
    return f"; the environment sets the proxy {proxy}: set NO_PROXY={host} to connect without it"


def ground_video(
    server: Server, path: str, queries: Sequence[str], *, fps: float | None = None
) -> list[dict]:
    """Grounds queries in a video.

    Args:
        server: model server.
        path: video file.
        queries: sentences; the video is encoded once for all of them.
        fps: frame rate of the training records, in frames per second; None for every frame.

    Returns:
        The tube of each query, in the JSON format of `gkcmn_tf.ground`.

    Raises:
        ServingError: the server is unreachable, rejects a request, or its answer is invalid.
        FileNotFoundError: the video does not exist.
        ValueError: the video cannot be decoded or does not fit into one request.
    """
    stream = reading.decode_frames(path, fps=fps)
    frames = np.stack(list(_bounded(stream, path)))
    for message in filter(None, [stream.damage, *stream.notices]):
        logging.warning("%s: %s", path, message)
    source = stream.source
    count = np.array([len(frames)], np.int32)
    picture = {
        "fps": np.array([stream.fps], np.float32),
        "width": np.array([stream.info.width], np.int32),
        "height": np.array([stream.info.height], np.int32),
    }
    shown = {"frames": frames[None], "frame_count": count}
    if len(queries) == 1:
        signature, leading = "ground_video", (1,)
        found = server.predict(signature, shown | picture | {"sentence": np.array(queries)})
    else:
        signature, leading = "ground_features", (1, len(queries))
        encoded = _output(
            server,
            "encode_video",
            server.predict("encode_video", shown),
            "features",
            (1, windows_in(len(frames)), None, None, None),
        ).astype(np.float32)
        clip = {"features": encoded, "begin": np.zeros_like(count), "end": count}
        inputs = clip | picture | {"sentences": np.array([queries])}
        found = server.predict(signature, inputs)

    def output(name, *shape):
        value = _output(server, signature, found, name, (*leading, *shape))
        return value.reshape([len(queries), *value.shape[len(leading) :]])

    # Models exported by older versions do not have the numbers of unknown words.
    unknown = output("unknown_words") if "unknown_words" in found else np.zeros(len(queries))
    segments, scores = output("segment_frames", 2), output("score")
    boxes = output("boxes", len(frames), 4)
    with _outputs_checked(server.address, signature, "segment_frames"):
        begins, ends = segments.T
        valid = (begins >= 0) & (begins < ends) & (ends <= len(frames))
        if not (valid & (segments == segments.round()).all(axis=1)).all():
            raise ValueError(
                f"expected segments of {len(frames)} frames, got {segments.tolist()!r:.100}"
            )
    answers = []
    for i, query in enumerate(queries):
        if unknown[i]:
            logging.warning("%r: the model does not know %d of the words", query, unknown[i])
        begin, end = map(int, segments[i])
        tube = tubes.Tube(begin, end, np.round(boxes[i, begin:end], 2), float(scores[i]))
        tube = in_file_frames(tube, source, (0, source.timeline.frame_count), query)
        answers.append(tube.to_json())
    return answers


def _bounded(stream, path):
    most = MAX_REQUEST_BYTES // (reading.FRAME_SIZE**2 * 3)
    for number, frame in enumerate(stream):
        if number == most:
            raise ValueError(
                f"{path}: more than {most} frames do not fit into a request; use a shorter video"
            )
        yield frame


if __name__ == "__main__":
    program.run(main, define_flags)
