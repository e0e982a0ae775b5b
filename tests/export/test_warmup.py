"""Replay of the warm-up file as in TensorFlow Serving."""

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from export import warmup


def test_the_warmup_file_replays(folder, service):
    path = folder / "assets.extra" / warmup.FILE
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    requests = [
        prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        for record in records
    ]
    replayed = {}
    for request in requests:
        assert request.model_spec.name == "gkcmn"
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        signature = request.model_spec.signature_name
        replayed[signature] = service.run(signature, inputs)
    assert set(replayed) == set(service.model.signatures)
    assert replayed["encode_video"]["features"].shape == (1, 6, 7, 7, 3)
    assert replayed["ground_features"]["segment_frames"].shape == (1, 2, 2)
    assert replayed["ground_video"]["boxes"].shape == (1, 22, 4)
