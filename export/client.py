r"""Grounds sentences in a video file with a model server.

Example:
    python -m export.client --server=localhost:8500 --video=park.mp4 \
        --query="the red square moving left"
    python -m export.client --server=localhost:8501 --protocol=rest --video=park.mp4 --query="..."

The server is TensorFlow Serving, or any server with the same gRPC or REST API, with a model
exported by `export.saved_model`. The program prints a line of JSON per query, like
`gkcmn_tf.ground`. Frames are resized by the client with the same code as in training, so results
equal those of `gkcmn_tf.ground` up to rounding. Only the feature windows at the steps of the model
are decoded and sent, once for all queries. REST sends numbers as text, which is slow.
"""

import contextlib
import json
import math
import os
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
from tensorflow_serving.apis import get_model_metadata_pb2, prediction_service_pb2_grpc

from gkcmn_tf import program
from gkcmn_tf.encoded_video import encode_windows
from gkcmn_tf.queries import in_file_frames
from gkcmn_tf.searched_clips import SLIDING, WHOLE, ClipSearch
from gkcmn_tf.tubes import Tube

from . import warmup

FLAGS = flags.FLAGS

# TensorFlow Serving is limited by the maximum size of a protocol buffer, 2 GiB.
MAX_REQUEST_BYTES = 2**31 - 2**20
WINDOWS_PER_REQUEST = 8  # 10 MB
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

    def input_shape(self, signature: str, name: str) -> tuple[int, ...]:
        """Shape of an input in the model's metadata, -1 for dynamic sizes.

        Raises:
            ServingError: the request fails, or the model has no such input.
        """


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
        response = self._call(self._stub.Predict, request, signature)
        outputs = {}
        for name, value in response.outputs.items():
            with _outputs_checked(self.address, signature, name):
                size = math.prod(axis.size for axis in value.tensor_shape.dim)
                if size > MAX_REQUEST_BYTES:
                    raise ValueError(f"has {size} values")
                outputs[name] = tf.make_ndarray(value)
        return outputs

    def input_shape(self, signature: str, name: str) -> tuple[int, ...]:
        """See `Server`."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self._model
        response = self._call(self._stub.GetModelMetadata, request, "metadata")
        with _metadata_checked(self.address, signature, name):
            signatures = get_model_metadata_pb2.SignatureDefMap()
            response.metadata["signature_def"].Unpack(signatures)
            shape = signatures.signature_def[signature].inputs[name].tensor_shape
            return _checked_shape([axis.size for axis in shape.dim])

    def _call(self, method, request, what):
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            hint = _HINTS.get(error.code())
            raise ServingError(
                f"{self.address}, {what}: {error.code().name}: {error.details()}"
                + (f"; {hint}" if hint else "")
                + _proxy_hint(self.address)
            ) from error


class RestServer:
    """A model server with a REST API.

    The arguments are those of `GrpcServer`, except that `timeout` applies to each attempt.
    """

    def __init__(self, address: str, *, model: str, timeout: float, retries: int):
        self.address = address
        self._url = f"http://{address}/v1/models/{model}"
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
        answer = self._request("POST", f"{self._url}:predict", signature, "outputs", json=body)
        outputs = answer["outputs"]
        # The REST API omits the name of a single output.
        outputs = outputs if isinstance(outputs, dict) else {"features": outputs}
        arrays = {}
        for name, value in outputs.items():
            with _outputs_checked(self.address, signature, name):
                arrays[name] = np.array(value)
        return arrays

    def input_shape(self, signature: str, name: str) -> tuple[int, ...]:
        """See `Server`."""
        answer = self._request("GET", f"{self._url}/metadata", "metadata", "metadata")
        with _metadata_checked(self.address, signature, name):
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            shape = signatures[signature]["inputs"][name]["tensor_shape"]
            return _checked_shape([axis["size"] for axis in shape["dim"]])

    def _request(self, method, url, what, field, **arguments):
        """Returns the answer, a JSON object with `field`."""
        where = f"{url}, {what}"
        try:
            response = self._session.request(method, url, timeout=self._timeout, **arguments)
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
        if not isinstance(answer, dict) or field not in answer:
            reason = answer.get("error") if isinstance(answer, dict) else f"{answer!r:.100}"
            raise ServingError(f"{where}: status {response.status_code}: {reason}")
        return answer


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
    flags.DEFINE_float(
        "begin", None, "Start of the clip to search, in seconds; default: start of the video."
    )
    flags.DEFINE_float(
        "end", None, "End of the clip to search, in seconds; default: end of the video."
    )
    flags.DEFINE_float(
        "clip_seconds",
        None,
        "Length of overlapping clips to search, such as that of the longest training clip; "
        "default: the video, or the part, is one clip.",
        lower_bound=0.1,
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
    answers = ground_video(
        server,
        FLAGS.video,
        FLAGS.query,
        fps=FLAGS.fps,
        begin=FLAGS.begin,
        end=FLAGS.end,
        clip_seconds=FLAGS.clip_seconds,
    )
    for answer in answers:
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
    server: Server,
    path: str,
    queries: Sequence[str],
    *,
    fps: float | None = None,
    begin: float | None = None,
    end: float | None = None,
    clip_seconds: float | None = None,
) -> list[dict]:
    """Grounds queries in a video.

    Only the windows at the steps of the model are sent, `WINDOWS_PER_REQUEST` at a time.

    Args:
        server: model server.
        path: video file.
        queries: sentences; the video is encoded once for all of them.
        fps: frame rate of the training records, in frames per second; None for every frame.
        begin: begin of the searched part in seconds after the start of the file; default: begin of
            the video.
        end: end of the searched part in seconds; default: end of the video.
        clip_seconds: length of overlapping clips to search; None searches the part as one clip.

    Returns:
        The tube of each query, in the JSON format of `gkcmn_tf.ground`.

    Raises:
        ServingError: the server is unreachable, rejects a request, or its answer is invalid.
        FileNotFoundError: the video does not exist.
        ValueError: the video cannot be decoded, or the searched part is outside the video.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file")
    max_steps = server.input_shape("ground_steps", "features")[1]
    how = WHOLE if clip_seconds is None else SLIDING
    search = ClipSearch(max_steps, clip_seconds, begin, end, how)

    def compute(frames, windows):
        found = server.predict("encode_windows", {"windows": frames[windows][None]})
        shape = (1, len(windows), None, None, None)
        return _output(server, "encode_windows", found, "features", shape)[0]

    video = encode_windows(
        path, compute, search.windows, {"fps": fps}, batch_size=WINDOWS_PER_REQUEST
    )
    timeline = video.source.timeline
    best, unknown = [None] * len(queries), np.zeros(len(queries))
    for clip in search.clips(timeline):
        first, last = timeline.to_samples(*clip)
        found, unknown = _ground_clip(server, video, queries, first, last, max_steps, fps)
        for row, tube in enumerate(found):
            if best[row] is None or tube.score > best[row].score:
                best[row] = in_file_frames(tube, video.source, clip, queries[row])
    for query, count in zip(queries, unknown, strict=True):
        if count:
            logging.warning("%r: the model does not know %d of the words", query, count)
    return [tube.to_json() for tube in best]


def _ground_clip(server, video, queries, first, last, max_steps, fps):
    """Returns the tube of each query in (resampled) frames, and its number of unknown words."""
    features, _ = video.clip_inputs(first, last, max_steps)
    length = last - first
    found = server.predict(
        "ground_steps",
        {
            "features": features[None].astype(np.float32),
            "begin": np.array([0], np.int32),
            "end": np.array([length], np.int32),
            "fps": np.array([fps or video.source.fps], np.float32),
            "width": np.array([video.source.width], np.int32),
            "height": np.array([video.source.height], np.int32),
            "sentences": np.array([queries]),
        },
    )

    def output(name, *shape):
        return _output(server, "ground_steps", found, name, (1, len(queries), *shape))[0]

    segments, scores, boxes = (
        output("segment_frames", 2),
        output("score"),
        output("boxes", length, 4),
    )
    with _outputs_checked(server.address, "ground_steps", "segment_frames"):
        begins, ends = segments.T
        valid = (begins >= 0) & (begins < ends) & (ends <= length)
        if not (valid & (segments == segments.round()).all(axis=1)).all():
            raise ValueError(
                f"expected segments of {length} frames, got {segments.tolist()!r:.100}"
            )
    tubes = []
    for (begin, end), score, of_query in zip(segments.astype(int), scores, boxes, strict=True):
        inside = np.round(of_query[begin:end], 2)
        tubes.append(Tube(first + int(begin), first + int(end), inside, float(score)))
    return tubes, output("unknown_words")


def _checked_shape(sizes):
    """A shape with a fixed second axis."""
    shape = tuple(map(int, sizes))
    if len(shape) < 2 or shape[1] < 1:
        raise ValueError(f"expected a shape with a fixed second axis, got {shape}")
    return shape


@contextlib.contextmanager
def _metadata_checked(address, signature, name):
    """Names the server if its metadata are not those of an exported model."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise ServingError(
            f"{address}, metadata: no shape of the input {name} of {signature} ({error}); export "
            "the model again with export.saved_model"
        ) from error


if __name__ == "__main__":
    program.run(main, define_flags)
