"""Writes warm-up requests, which TensorFlow Serving replays when it loads a model."""

import itertools

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.video import reading
from gkcmn_tf.video.windows import window_frames

FILE = "tf_serving_warmup_requests"
MODEL_NAME = "gkcmn"
NUM_FRAMES = 32


def create_requests(
    signatures: dict, path: str, queries: list[str], fps: float | None
) -> list[predict_pb2.PredictRequest]:
    """Creates one request for each signature from the first frames of a video.

    Args:
        signatures: signatures of `grounding_graph.GroundingGraph`.
        path: video file.
        queries: sentences about the video.
        fps: target frame rate, in frames per second; None for every frame.
    """
    stream = reading.decode_frames(path, fps=fps)
    frames = np.stack(list(itertools.islice(stream, NUM_FRAMES)))
    count = np.array([len(frames)], np.int32)
    picture = {
        "fps": np.array([stream.fps], np.float32),
        "width": np.array([stream.info.width], np.int32),
        "height": np.array([stream.info.height], np.int32),
    }
    shown = {"frames": frames[None], "frame_count": count}
    encoded = signatures["encode_video"](**_constants(shown))["features"].numpy()
    stored = {"features": encoded, "begin": np.zeros_like(count), "end": count} | picture
    inputs = {
        "serving_default": stored | {"sentence": np.array(queries[:1])},
        "ground_features": stored | {"sentences": np.array([queries])},
        "ground_video": shown | picture | {"sentence": np.array(queries[:1])},
        "encode_video": shown,
    }
    rows = window_frames(len(frames))
    specs = tf.nest.flatten(signatures["ground_steps"].structured_input_signature)
    max_steps = next(spec.shape[1] for spec in specs if spec.name == "features")
    video = EncodedVideo(encoded[0], np.arange(len(rows)), stream.source, {})
    steps, _ = video.clip_inputs(0, len(frames), max_steps)
    inputs["encode_windows"] = {"windows": frames[rows][None]}
    inputs["ground_steps"] = inputs["ground_features"] | {"features": steps[None]}
    return [create_request(signature, tensors) for signature, tensors in inputs.items()]


def create_request(
    signature: str, tensors: dict[str, np.ndarray], model: str = MODEL_NAME
) -> predict_pb2.PredictRequest:
    """Creates a request of TensorFlow Serving's Predict API."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, tensor in tensors.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(tensor))
    return request


def write(path: str, requests: list[predict_pb2.PredictRequest]) -> None:
    """Writes requests as TFRecords of `PredictionLog`, the format of TensorFlow Serving."""
    with tf.io.TFRecordWriter(path) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictLog(request=request)
            record = prediction_log_pb2.PredictionLog(predict_log=log)
            writer.write(record.SerializeToString())


def _constants(tensors):
    return {name: tf.constant(value) for name, value in tensors.items()}
