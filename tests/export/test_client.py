import http.server
import json
import pathlib
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from absl import app

from benchmarks import ground_saved_model
from export import client
from tests.export.tiny_model import ground, make_extractor
from tests.gkcmn_tf.video.pictures import write_timed

ROOT = pathlib.Path(__file__).parents[2]
QUERIES = ["the red square moves left", "a blue square"]


@pytest.fixture(params=["grpc", "rest"])
def connect(request):
    """Makes a client of either protocol, for the server in this process or another address."""
    address = request.getfixturevalue(f"{request.param}_address")

    def connect(address=address, model="gkcmn", timeout=600.0, retries=2):
        made = client.SERVERS[request.param]
        return made(address, model=model, timeout=timeout, retries=retries)

    return connect


@pytest.fixture(autouse=True)
def reset(service):
    service.unavailable = 0
    service.called.clear()


def expected(trained, path, queries):
    """Output of `gkcmn_tf.ground`."""
    encoded = make_extractor().extract(path)
    count = encoded.timeline.frame_count
    tubes = ground(trained, encoded, queries, 0, count)
    return [
        replace(tube, sentence=query, video=encoded.source).to_json()
        for query, tube in zip(queries, tubes, strict=True)
    ]


@pytest.mark.parametrize("queries", [QUERIES[:1], QUERIES])
def test_the_result_equals_that_of_ground(connect, gkcmn, video_path, queries):
    answers = client.ground_video(connect(), video_path, queries)
    for answer, wanted in zip(answers, expected(gkcmn, video_path, queries), strict=True):
        boxes, wanted_boxes = answer.pop("boxes"), wanted.pop("boxes")
        assert answer.pop("score") == pytest.approx(wanted.pop("score"), abs=1e-5)
        assert answer == wanted
        assert list(boxes) == list(wanted_boxes)
        np.testing.assert_allclose(list(boxes.values()), list(wanted_boxes.values()), atol=0.0101)


def test_the_benchmark_without_a_server_gives_its_answers(folder, grpc_address, video_path):
    server = client.GrpcServer(grpc_address, model="gkcmn", timeout=600, retries=0)
    local = ground_saved_model.LocalModel(str(folder))
    name = ("ground_steps", "features")
    assert local.input_shape(*name) == server.input_shape(*name)
    options = {"clip_seconds": 1.0}
    found, answers = (
        client.ground_video(s, video_path, QUERIES, **options) for s in (local, server)
    )
    assert found == answers


def test_what_is_special_about_a_video_is_shown(connect, tmp_path, caplog):
    path = tmp_path / "v.mp4"
    write_timed(path, 40 * np.arange(8), options={"x264-params": "transfer=smpte2084"})
    with caplog.at_level("WARNING", logger="absl"):
        client.ground_video(connect(), str(path), QUERIES[:1])
    assert "v.mp4: is HDR (PQ) and decoded as if it were SDR" in caplog.text


def test_several_queries_encode_the_video_once(grpc_address, service, video_path):
    server = client.GrpcServer(grpc_address, model="gkcmn", timeout=600, retries=0)
    client.ground_video(server, video_path, QUERIES)
    assert service.called == ["encode_windows", "ground_steps"]
    client.ground_video(server, video_path, QUERIES[:1])
    assert service.called[2:] == ["encode_windows", "ground_steps"]


def test_only_the_windows_of_the_steps_are_sent(grpc_address, gkcmn, tmp_path, monkeypatch):
    # 240 frames have 60 windows, but the model has 6 steps.
    path = tmp_path / "v.mp4"
    write_timed(path, 40 * np.arange(240))
    server = client.GrpcServer(grpc_address, model="gkcmn", timeout=600, retries=0)
    sent = []
    predict = server.predict
    monkeypatch.setattr(
        server, "predict", lambda *args: sent.append(args[1].get("windows")) or predict(*args)
    )
    monkeypatch.setattr(client, "WINDOWS_PER_REQUEST", 4)
    (answer,) = client.ground_video(server, str(path), QUERIES[:1])
    assert [part.shape[:3] for part in sent if part is not None] == [(1, 4, 8), (1, 2, 8)]
    (wanted,) = expected(gkcmn, str(path), QUERIES[:1])
    assert (answer["begin"], answer["end"]) == (wanted["begin"], wanted["end"])


def test_the_best_of_overlapping_clips_is_returned(grpc_address, tmp_path):
    path = tmp_path / "v.mp4"
    write_timed(path, 40 * np.arange(75))
    server = client.GrpcServer(grpc_address, model="gkcmn", timeout=600, retries=0)
    (found,) = client.ground_video(server, str(path), QUERIES[:1], clip_seconds=1.0)
    singles = [
        client.ground_video(server, str(path), QUERIES[:1], begin=begin, end=begin + 1)[0]
        for begin in (0, 0.5, 1, 1.5, 2)
    ]
    best = max(singles, key=lambda answer: answer["score"])
    assert found["score"] == pytest.approx(best["score"], abs=1e-5)
    assert (found["begin"], found["end"], found["clip"]) == (
        *(best["begin"], best["end"]),
        best["clip"],
    )


def test_a_model_without_the_signature_is_an_error(connect, service, video_path, monkeypatch):
    monkeypatch.setattr(service, "signature_def", {})
    with pytest.raises(client.ServingError, match="no shape of the input features of ground_steps"):
        client.ground_video(connect(), video_path, QUERIES[:1])


def test_errors_of_the_graph_are_reported(connect, video_path):
    with pytest.raises(client.ServingError, match="sentence: contains no word"):
        client.ground_video(connect(), video_path, ["?!"])


def test_an_input_of_another_type_is_refused(grpc_address):
    server = client.GrpcServer(grpc_address, model="gkcmn", timeout=600, retries=0)
    frames = np.zeros((1, 4, 8, 8, 3), np.float32)
    with pytest.raises(client.ServingError, match=r"INVALID_ARGUMENT.*uint8.*float"):
        server.predict("encode_video", {"frames": frames, "frame_count": np.int32([4])})


def test_requests_are_retried_while_the_server_loads(connect, service, video_path):
    service.unavailable = 2
    (answer,) = client.ground_video(connect(), video_path, QUERIES[:1])
    assert answer["query"] == QUERIES[0]
    service.unavailable = 10
    with pytest.raises(client.ServingError, match="loading"):
        client.ground_video(connect(), video_path, QUERIES[:1])


def test_an_unknown_model_is_an_error(connect, video_path):
    with pytest.raises(client.ServingError, match="Servable not found"):
        client.ground_video(connect(model="other"), video_path, QUERIES[:1])


def test_an_unreachable_server_is_an_error(connect, video_path):
    server = connect(address="localhost:1", retries=0)
    with pytest.raises(client.ServingError, match=r"localhost:1.*check that the server is running"):
        client.ground_video(server, video_path, QUERIES[:1])


def test_a_timeout_is_an_error(connect, video_path):
    with pytest.raises(client.ServingError, match="--timeout"):
        client.ground_video(connect(timeout=1e-6, retries=0), video_path, QUERIES[:1])


@pytest.fixture
def answering(monkeypatch):
    """Makes a client of a REST server that gives the same answer to every `ground_steps`."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers = []

    features = json.dumps({"outputs": np.zeros((1, 2, 1, 1, 3)).tolist()}).encode()
    shape = {"tensor_shape": {"dim": [{"size": str(n)} for n in (-1, 2, 1, 1, 3)]}}
    signatures = {"ground_steps": {"inputs": {"features": shape}}}
    metadata = {"metadata": {"signature_def": {"signature_def": signatures}}}

    def connect(answer, features=features):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send(json.dumps(metadata).encode())

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send(features if b'"encode_windows"' in body else answer)

            def send(self, content):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        address = f"127.0.0.1:{server.server_port}"
        return client.RestServer(address, model="gkcmn", timeout=60, retries=0)

    yield connect
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def six_frames(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "v.mp4"
    write_timed(path, 40 * np.arange(6))
    return str(path)


def answer(**changes):
    """Outputs of `ground_steps` for one sentence about six frames."""
    outputs = {
        "segment_frames": [[2, 4]],
        "boxes": [[[1, 2, 3, 4]] * 6],
        "score": [0.5],
        "unknown_words": [0],
    }
    outputs = {name: v for name, v in (outputs | changes).items() if v is not None}
    return {"outputs": {name: [value] for name, value in outputs.items()}}


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ([1], r"status 200: \[1\]"),
        (None, "status 200: None"),
        (answer(boxes=None), "output boxes: is missing; got segment_frames, score, unknown_words"),
        (answer(score=["x"]), "output score: could not convert"),
        (answer(score=[None]), "output score: expected finite numbers"),
        (answer(score=[0.5, 0.5]), r"output score: expected shape \(1, 1\), got \(1, 2\)"),
        (answer(boxes=[[[1, 2], [3]]]), "output boxes: setting an array element"),
        (answer(boxes=[[[1, 2, 3, 4]] * 5]), "output boxes: expected shape"),
        (answer(boxes={"a": 1}), "output boxes: float"),
        (answer(segment_frames=[[-2, 4]]), r"expected segments of 6 frames, got \[\[-2.0, 4.0"),
        (answer(segment_frames=[[2.5, 4]]), "output segment_frames: expected segments of 6"),
        (answer(segment_frames=[[4, 7]]), "output segment_frames: expected segments of 6"),
    ],
)
def test_an_invalid_answer_is_an_error(answering, six_frames, response, message):
    server = answering(json.dumps(response).encode())
    with pytest.raises(client.ServingError, match=rf"127\.0\.0\.1:\d+.*ground_steps.*{message}"):
        client.ground_video(server, six_frames, QUERIES[:1])


def test_an_answer_that_nests_without_end_is_an_error(answering, six_frames):
    with pytest.raises(client.ServingError, match="response is not JSON"):
        client.ground_video(answering(b"[" * 100_000), six_frames, QUERIES[:1])


def test_invalid_features_of_a_server_are_an_error(answering, six_frames):
    features = json.dumps({"outputs": [[[[[float("nan")]]]] * 2]}).encode()
    server = answering(b"", features=features)
    message = "encode_windows: output features: expected"
    with pytest.raises(client.ServingError, match=message):
        client.ground_video(server, six_frames, QUERIES)


def test_a_valid_answer_of_a_server_is_a_tube(answering, six_frames):
    (found,) = client.ground_video(
        answering(json.dumps(answer()).encode()), six_frames, QUERIES[:1]
    )
    assert found["boxes"] == {"2": [1, 2, 3, 4], "3": [1, 2, 3, 4]}


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "export.client", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_program(grpc_address, video_path):
    arguments = [f"--server={grpc_address}", *(f"--query={query}" for query in QUERIES)]
    done = call(*arguments, f"--video={video_path}")
    assert [json.loads(line)["query"] for line in done.stdout.splitlines()] == QUERIES
    done = call(*arguments, "--video=none.mp4")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: none.mp4: no such file"


@pytest.mark.parametrize(
    "server", ["host:8500", "http://host:8500", "http://host:8500/", "grpc://host:8500"]
)
def test_addresses_with_a_scheme_are_taken(server):
    assert client.host_and_port(server) == "host:8500"


@pytest.mark.parametrize(
    "server", ["host", "https://host:8500", "host:port", "http://host:8500/v1/models", ""]
)
def test_other_addresses_are_refused(server):
    with pytest.raises(app.UsageError, match=r"expected host:port, such as localhost:8500"):
        client.host_and_port(server)


def test_a_proxy_of_the_environment_is_named(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://localhost:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server = client.RestServer("model.example:8501", model="gkcmn", timeout=1, retries=0)
    with pytest.raises(
        client.ServingError,
        match=r"sets the proxy http://localhost:1: set NO_PROXY=model\.example",
    ):
        server.predict("encode_video", {})
    assert client._proxy_hint("localhost.example:1")
    monkeypatch.setenv("no_proxy", "model.example")
    assert client._proxy_hint("model.example:8501") == ""
