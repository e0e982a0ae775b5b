r"""Puts an HTTP server with a SavedModel under load, and checks its answers.

Example, with MLServer in an environment of its own (`pip install mlserver tensorflow==2.20.0
"uvloop<0.22"`; MLServer 1.7.1 does not start its workers with newer versions of uvloop):
    python -m benchmarks.load --mlserver=mlserver/bin/mlserver --saved_model=runs/export/gkcmn/1 \
        --video=gkcmn_tf/samples/1000000009.mp4 --query="the red square moves left" --seconds=1800

Starts MLServer with `export/serving/mlserver_runtime.py`. Several clients send requests one after
the other, chosen at random: good ones, ones that the model must refuse, huge ones, and ones whose
client goes away while it sends or waits. Every good answer is compared with that of the SavedModel
in this process. Prints one line of JSON per interval, with memory of the server's processes, and
the result as a Markdown table. Ends with status 1 if an answer is wrong, an invalid request is not
refused, a valid one is, or the server ends. Needs Linux, for the memory of processes.
"""

import collections
import contextlib
import dataclasses
import datetime
import http.client
import json
import os
import pathlib
import platform
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import requests
import tensorflow as tf
from absl import app, flags

from benchmarks.slope import slope_of_second_half
from gkcmn_tf import program
from gkcmn_tf.video import reading

FLAGS = flags.FLAGS
RUNTIME_FOLDER = pathlib.Path(__file__).parents[1] / "export" / "serving"
MODEL_PATH = "/v2/models/gkcmn"
START_SECONDS = 120
ANSWER_SECONDS = 120
FRAMES, SIZE = 16, 64
LONG_SENTENCE_WORDS = 100_000
MANY_FRAMES = 25_000
DTYPES = {"uint8": "UINT8", "int32": "INT32", "float32": "FP32", "float64": "FP32"}
# Of a hundred requests.
SHARES = {"good": 60, "bad": 25, "huge": 5, "aborted": 10}


@dataclasses.dataclass(frozen=True)
class Request:
    """A request to the server.

    Attributes:
        kind: `good`, `bad`, `huge` or `aborted`.
        name: what is sent.
        body: JSON of the Open Inference Protocol, or bytes that are not.
        expected: the outputs by name; None for a request that must be refused.
    """

    kind: str
    name: str
    body: bytes
    expected: Mapping[str, np.ndarray] | None = None


@dataclasses.dataclass
class Tally:
    """What the clients saw, added to by all of them.

    Attributes:
        seconds: answer times of good requests.
        counts: answers by kind and outcome.
        faults: requests whose outcome was wrong, described.
    """

    seconds: list[float] = dataclasses.field(default_factory=list)
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    faults: list[str] = dataclasses.field(default_factory=list)


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("mlserver", "mlserver", "The program mlserver.")
    flags.DEFINE_string("saved_model", None, "SavedModel folder, FOLDER/VERSION.", required=True)
    flags.DEFINE_string("video", None, "Video file.", required=True)
    flags.DEFINE_multi_string("query", None, "Sentences about the video.", required=True)
    flags.DEFINE_float("seconds", 300.0, "Duration of the load.", lower_bound=1)
    flags.DEFINE_float("interval", 30.0, "Seconds between two lines.", lower_bound=0.1)
    flags.DEFINE_integer("clients", 2, "Number of clients.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Seed of the order of requests.")


def main(argv):
    """Starts the server, puts it under load and prints the result."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    made = make_requests(FLAGS.saved_model, FLAGS.video, FLAGS.query)
    with started_server(FLAGS.mlserver, FLAGS.saved_model) as (address, process):
        # The first request to each signature is slow, and memory grows until all have been sent.
        for request in made:
            send(address, request, Tally())
        tally = Tally()
        samples = put_under_load(
            address,
            made,
            tally,
            memory=lambda: memory_of_tree(process.pid),
            seconds=FLAGS.seconds,
            interval=FLAGS.interval,
            clients=FLAGS.clients,
            seed=FLAGS.seed,
        )
        if process.poll() is not None:
            tally.faults.append(f"the server ended with status {process.returncode}")
    print(table(tally, samples))
    for fault in tally.faults[:20]:
        print(fault)
    return bool(tally.faults)


def make_requests(saved_model: str, video: str, queries: list[str]) -> list[Request]:
    """Requests of every kind, with the answers of the SavedModel in this process."""
    signatures = tf.saved_model.load(saved_model).signatures

    def run(signature, inputs):
        outputs = signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    stream = reading.decode_frames(video, SIZE)
    frames = np.stack([frame for frame, _ in zip(stream, range(FRAMES), strict=False)])[None]
    count = np.array([frames.shape[1]], np.int32)
    shown = {"frames": frames, "frame_count": count}
    picture = {
        "fps": np.array([25], np.float32),
        "width": np.array([640], np.int32),
        "height": np.array([360], np.int32),
    }
    encoded = run("encode_video", shown)["features"]
    stored = {"features": encoded, "begin": count * 0, "end": count} | picture
    video_inputs = shown | picture | {"sentence": np.array(queries[:1])}
    one = stored | {"sentence": np.array(queries[:1])}
    many = stored | {"sentences": np.array([queries * 4])}
    good = [("ground_video", video_inputs), ("ground_features", many), ("encode_video", shown)]
    good += [("serving_default", stored | {"sentence": np.array([query])}) for query in queries]
    made = [Request("good", name, to_json(name, i), run(name, i)) for name, i in good]

    long = " ".join([*queries, "word " * LONG_SENTENCE_WORDS])
    inputs = stored | {"sentence": np.array([long])}
    name = "serving_default"
    made.append(Request("huge", "long sentence", to_json(name, inputs), run(name, inputs)))
    too_long = shown | {"frames": np.zeros((1, MANY_FRAMES, 8, 8, 3), np.uint8)}
    too_long["frame_count"] = np.array([MANY_FRAMES], np.int32)
    made.append(Request("huge", "too many frames", to_json("encode_video", too_long)))
    made.append(Request("huge", "not JSON", b"[" * 10_000_000))

    infinite = encoded.astype(np.float64)
    infinite[0, 0, 0, 0, 0] = 1e39  # in float32; JSON has no infinity
    missing = {key: value for key, value in one.items() if key != "features"}
    bad = {
        "no words": one | {"sentence": np.array(["..."])},
        "infinite feature": one | {"features": infinite},
        "clip outside": one | {"end": count + 1000},
        "no frame rate": one | {"fps": np.zeros(1, np.float32)},
        "two sentences": one | {"sentence": np.array(queries[:1] * 2)},
        "wrong type": one | {"begin": np.zeros(1, np.float32)},
        "wrong grid": one | {"features": encoded[:, :, :-1]},
        "missing input": missing,
        "unknown input": one | {"colour": count},
    }
    made += [Request("bad", key, to_json(name, value)) for key, value in bad.items()]
    made.append(Request("bad", "unknown signature", to_json("nothing", one)))
    shape = to_json(name, one).replace(b'"shape": [1]', b'"shape": [7]')
    made += [Request("bad", "wrong shape", shape), Request("bad", "empty", b"")]
    made += [Request("bad", "no inputs", b"{}"), Request("bad", "cut", to_json(name, one)[:-20])]
    made.append(Request("aborted", "while sending", to_json("ground_video", video_inputs)))
    made.append(Request("aborted", "while waiting", to_json("ground_video", video_inputs)))
    return made


def to_json(signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """A request in the Open Inference Protocol."""
    described = [
        {
            "name": name,
            "shape": list(value.shape),
            "datatype": DTYPES.get(value.dtype.name, "BYTES"),
            "data": value.ravel().tolist(),
        }
        for name, value in inputs.items()
    ]
    return json.dumps({"parameters": {"signature": signature}, "inputs": described}).encode()


def from_json(answer: Mapping) -> dict[str, np.ndarray]:
    """The outputs of an answer by name."""
    return {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in answer["outputs"]}


@contextlib.contextmanager
def started_server(mlserver: str, saved_model: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Starts MLServer and waits until it is ready; yields its address and process."""
    names = ("HTTP_PORT", "GRPC_PORT", "METRICS_PORT")
    sockets = [socket.create_server(("localhost", 0)) for _ in names]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    settings = {f"MLSERVER_{n}": str(p) for n, p in zip(names, ports, strict=True)}
    settings |= {"MLSERVER_HOST": "localhost", "MLSERVER_DEBUG": "false"}
    settings |= {"MLSERVER_MODEL_URI": os.path.abspath(saved_model), "TF_CPP_MIN_LOG_LEVEL": "3"}
    address = f"localhost:{ports[0]}"
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [mlserver, "start", str(RUNTIME_FOLDER)],
            env=os.environ | settings,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _is_ready(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise program.ProgramError(f"{mlserver} does not start: {log.read()[-2000:]}")
                time.sleep(0.2)
            yield address, process
        finally:
            # With its workers. It may be in a state in which it does not end by itself.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _is_ready(address):
    try:
        return requests.get(f"http://{address}{MODEL_PATH}/ready", timeout=5).ok
    except requests.RequestException:
        return False


def put_under_load(
    address: str,
    made: list[Request],
    tally: Tally,
    *,
    memory: Callable[[], float],
    seconds: float,
    interval: float,
    clients: int,
    seed: int,
) -> list[tuple[float, float]]:
    """Sends requests until the time is over; prints a line of JSON in each interval.

    Returns:
        times in seconds since the start, with the memory of the server in MiB.
    """
    began = time.monotonic()
    by_kind = collections.defaultdict(list)
    for request in made:
        by_kind[request.kind].append(request)

    def work(number):
        rng = random.Random(f"{seed} {number}")
        while time.monotonic() < began + seconds:
            (kind,) = rng.choices(list(SHARES), list(SHARES.values()))
            send(address, rng.choice(by_kind[kind]), tally)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(clients)]
    for thread in threads:
        thread.start()
    samples = []
    while any(thread.is_alive() for thread in threads):
        samples.append((time.monotonic() - began, memory()))
        line = {"seconds": round(samples[-1][0]), "MiB": round(samples[-1][1])}
        print(json.dumps(line | {"answers": tally.counts.total()}), flush=True)
        threads[0].join(interval)
    for thread in threads:
        thread.join()
    samples.append((time.monotonic() - began, memory()))
    return samples


def send(address: str, request: Request, tally: Tally) -> None:
    """Sends a request and adds the outcome to `tally`."""
    if request.kind == "aborted":
        _abort(address, request)
        tally.counts["aborted", request.name] += 1
        return
    began = time.perf_counter()
    try:
        answer = requests.post(
            f"http://{address}{MODEL_PATH}/infer",
            data=request.body,
            headers={"Content-Type": "application/json"},
            timeout=ANSWER_SECONDS,
        )
    except requests.RequestException as error:
        outcome, detail = "no answer", str(error)
    else:
        outcome, detail = _judge(request, answer)
    if request.kind == "good":
        tally.seconds.append(time.perf_counter() - began)
    tally.counts[request.kind, outcome] += 1
    if outcome not in ("right", "refused"):
        tally.faults.append(f"{request.kind}, {request.name}: {outcome}: {detail:.500}")


def _judge(request, answer):
    """Outcome of a request and details of a wrong one."""
    if request.expected is None:
        refused = 400 <= answer.status_code < 500
        return ("refused", "") if refused else (f"status {answer.status_code}", answer.text)
    if not answer.ok:
        return f"status {answer.status_code}", answer.text
    found = from_json(answer.json())
    wrong = [
        name
        for name, value in request.expected.items()
        if name not in found
        or found[name].shape != value.shape
        or not np.allclose(found[name], value, rtol=1e-4, atol=1e-4)
    ]
    return ("wrong", ", ".join(wrong)) if wrong else ("right", "")


def _abort(address, request):
    """Sends a part of a request, or all of it, and closes the connection without reading."""
    connection = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS)
    try:
        connection.putrequest("POST", f"{MODEL_PATH}/infer")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders()
        part = len(request.body) // 2 if request.name == "while sending" else len(request.body)
        connection.send(request.body[:part])
    finally:
        connection.close()


def memory_of_tree(pid: int) -> float:
    """Memory in MiB of a process and its descendants; shared pages are divided among them."""
    total = 0.0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) / 1024
        for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            total += sum(memory_of_tree(int(child)) for child in children.read_text().split())
    return total


def table(tally: Tally, samples: list[tuple[float, float]]) -> str:
    """The result as a Markdown table."""
    seconds = samples[-1][0]
    growth = slope_of_second_half([time / 3600 for time, _ in samples], [m for _, m in samples])
    p50, p99 = np.percentile(tally.seconds, [50, 99]) if tally.seconds else (np.nan, np.nan)
    rows = {
        "date": f"{datetime.date.today():%d %B %Y}",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}",
        "seconds": f"{seconds:.0f}",
        "requests": tally.counts.total(),
        "requests per second": f"{tally.counts.total() / seconds:.2f}",
        "good requests, p50 and p99 in seconds": f"{p50:.3f}, {p99:.3f}",
        "memory of the server in MiB, first, last and largest": ", ".join(
            f"{value:.0f}"
            for value in (samples[0][1], samples[-1][1], max(value for _, value in samples))
        ),
        "memory slope of the second half in MiB per hour": f"{growth:+.0f}",
        **{f"{k}: {outcome}": n for (k, outcome), n in sorted(tally.counts.items())},
        "faults": len(tally.faults),
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


if __name__ == "__main__":
    program.run(main, define_flags)
