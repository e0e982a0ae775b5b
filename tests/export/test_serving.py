"""TensorFlow Serving's parsers accept the files of export/serving."""

import pathlib

import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from export import warmup

FOLDER = pathlib.Path(__file__).parents[2] / "export" / "serving"
FIELD = descriptor_pb2.FieldDescriptorProto
INT64 = ".google.protobuf.Int64Value"

# Missing from tensorflow-serving-api: the messages of session_bundle_config.proto and
# monitoring_config.proto of TensorFlow Serving 2.20.
MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": (1, INT64),
        "batch_timeout_micros": (2, INT64),
        "max_enqueued_batches": (3, INT64),
        "num_batch_threads": (4, INT64),
        "thread_pool_name": (5, ".google.protobuf.StringValue"),
        "pad_variable_length_inputs": (7, FIELD.TYPE_BOOL),
    },
    "PrometheusConfig": {"enable": (1, FIELD.TYPE_BOOL), "path": (2, FIELD.TYPE_STRING)},
    "MonitoringConfig": {"prometheus_config": (1, ".serving_test.PrometheusConfig")},
}


def message_class(name):
    file = descriptor_pb2.FileDescriptorProto(
        name="serving_test.proto",
        package="serving_test",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for field, (number, kind) in fields.items():
            added = described.field.add(name=field, number=number, label=FIELD.LABEL_OPTIONAL)
            if isinstance(kind, str):
                added.type, added.type_name = FIELD.TYPE_MESSAGE, kind
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"serving_test.{name}"))


def parse(file, message):
    return text_format.Parse((FOLDER / file).read_text(), message)


def test_models():
    parsed = parse("models.config", model_server_config_pb2.ModelServerConfig())
    (model,) = parsed.model_config_list.config
    assert (model.name, model.base_path) == (warmup.MODEL_NAME, "/models/gkcmn")
    assert model.model_version_policy.latest.num_versions == 2


def test_batching():
    parsed = parse("batching.config", message_class("BatchingParameters")())
    assert parsed.max_batch_size.value == 8 and parsed.pad_variable_length_inputs


def test_monitoring():
    parsed = parse("monitoring.config", message_class("MonitoringConfig")())
    assert parsed.prometheus_config.enable


def test_a_misspelt_field_is_an_error():
    with pytest.raises(text_format.ParseError, match="max_batch"):
        text_format.Parse("max_batch { value: 8 }", message_class("BatchingParameters")())


def test_compose_mounts_the_paths_of_its_flags():
    (service,) = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"].values()
    mounts = dict(reversed(volume.rsplit(":", 2)[:2]) for volume in service["volumes"])
    assert mounts["/config"] == "." and "/models" in mounts
    for flag in service["command"]:
        name, _, value = flag.removeprefix("--").partition("=")
        assert name and value
        if value.startswith("/config/"):
            assert (FOLDER / value.removeprefix("/config/")).exists()
    assert service["ports"] == ["8500:8500", "8501:8501"]
