"""The program that exports the web page: files, samples, cache and server, without a browser."""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import unicodedata
import urllib.request

import pytest
from absl.testing import flagsaver

import gkcmn_tf
from benchmarks.web import serving
from export import networks, tflite, web
from export.tflite_files import read_metadata
from gkcmn_tf import preset
from gkcmn_tf.folder_lock import folder_lock
from gkcmn_tf.text.tokenization import Tokenizer
from tests.export.tiny_model import WORDS, N, T, make_flat_i3d, make_model
from tests.export.web_browser import WEB_PAGE

VIDEO = pathlib.Path(gkcmn_tf.samples()[0].video)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The preset of a tiny model."""
    folder = tmp_path_factory.mktemp("preset") / "tiny"
    trained = make_model()
    trained.about["limits"] = "Only for tests."
    preset.save(trained, str(folder))
    return str(folder)


@contextlib.contextmanager
def small_i3d():
    """Makes the export use a replacement for I3D."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            networks, "i3d", lambda features, _: networks.of_i3d(features, make_flat_i3d())
        )
        yield


def write_samples(folder, *entries):
    path = folder / "samples.json"
    path.write_text(json.dumps(entries))
    return str(path)


@pytest.fixture(scope="module")
def page(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    shutil.copy(VIDEO, folder / "a.mp4")
    samples = write_samples(folder, {"video": "a.mp4", "sentences": ["the red square", "x"]})
    with small_i3d():
        web.export(source, str(folder / "page"), samples_file=samples)
    return folder / "page"


def test_the_folder_has_the_page_the_model_and_the_samples(page):
    facts = json.loads((page / "model" / "model.json").read_text())
    assert facts["tokens"] == {word: token for token, word in enumerate(WORDS, 2)}
    assert (facts["max_steps"], facts["max_words"]) == (T, N)
    assert facts["limits"] == "Only for tests."
    assert facts["samples"] == [
        {
            "video": "samples/a.mp4",
            "poster": "samples/a.mp4.jpg",
            "sentences": ["the red square", "x"],
        }
    ]
    assert (page / "samples" / "a.mp4").read_bytes() == VIDEO.read_bytes()
    assert (page / "samples" / "a.mp4.jpg").read_bytes().startswith(b"\xff\xd8")
    assert "Only for tests." in (page / "model" / "README.md").read_text()
    for name in ("index.html", "page.js", "worker.js", "service-worker.js", "licences.txt"):
        assert (page / name).read_bytes() == (web.ASSETS / name).read_bytes()


def test_the_networks_take_the_types_of_litert_js_and_return_all_candidates(page):
    metadata = read_metadata(str(page / "model" / "grounding.tflite"), "grounding")
    assert {dtype for dtype, *_ in metadata["inputs"].values()} == {"float32", "int32"}
    assert set(metadata["outputs"]) == {
        *("segment", "score", "boxes"),
        *("segments", "scores", "heatmaps"),
    }
    metadata = read_metadata(str(page / "model" / "i3d.tflite"), "i3d")
    assert metadata["inputs"]["frames"][0] == "uint8"


def test_a_page_is_replaced_but_other_files_are_not(source, page, tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "network_file", lambda *_: b"")
    with small_i3d():
        shutil.copytree(page, tmp_path / "page")
        web.export(source, str(tmp_path / "page"), samples_file=write_samples(tmp_path))
    assert json.loads((tmp_path / "page" / "model" / "model.json").read_text())["samples"] == []
    # Samples of the page that was replaced would be published with the new one.
    assert list((tmp_path / "page" / "samples").iterdir()) == []
    assert not (tmp_path / "page" / ".lock").exists()
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(
        ValueError, match="has other files than a page; choose another --output_dir"
    ):
        web.export(source, str(tmp_path))


def test_an_interrupted_export_leaves_the_old_page(source, page, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tflite, "network_file", interrupted)
    shutil.copytree(page, tmp_path / "page")
    with pytest.raises(KeyboardInterrupt):
        web.export(source, str(tmp_path / "page"))
    assert (tmp_path / "page" / "index.html").exists()


def test_two_programs_do_not_write_to_one_folder(source, tmp_path):
    with folder_lock(str(tmp_path / "page")), pytest.raises(ValueError, match="page: in use by"):
        web.export(source, str(tmp_path / "page"))


def test_samples_of_any_name_have_addresses(source, tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "network_file", lambda *_: b"")
    names = ["50% #1?.mp4", "dog.mp4", "dog.webm", "犬 & <b>.mp4"]
    for name in names:
        shutil.copy(VIDEO, tmp_path / name)
    entries = [{"video": name, "sentences": ["x"]} for name in names]
    folder = tmp_path / "page"
    with small_i3d():
        web.export(source, str(folder), samples_file=write_samples(tmp_path, *entries))
    samples = json.loads((folder / "model" / "model.json").read_text())["samples"]
    with serving(web.make_server(str(folder))) as address:
        for sample in samples:
            with urllib.request.urlopen(address + sample["video"]) as response:
                assert response.read() == VIDEO.read_bytes()
            with urllib.request.urlopen(address + sample["poster"]) as response:
                assert response.read().startswith(b"\xff\xd8")
    assert len({sample["poster"] for sample in samples}) == len(names)


def test_samples_of_the_package_are_used_if_the_model_knows_their_words():
    words = {
        word for each in gkcmn_tf.samples() for text in each.sentences for word in text.split()
    }
    known = Tokenizer(sorted({word.strip("?.") for word in words}), 9)
    assert [video for video, _ in web.read_samples(None, known)] == [
        each.video for each in gkcmn_tf.samples()
    ]
    assert web.read_samples(None, Tokenizer(["dog"], 9)) == []


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["a.mp4"], r"entry 0: expected \{\"video\": path"),
        ([{"video": "a.mp4"}], r"entry 0: expected \{\"video\": path"),
        ([{"video": "a.mp4", "sentences": [1]}], "entry 0: expected"),
        ([{"video": "b.mp4", "sentences": []}], "b.mp4: no such video; it is entry 0 of"),
        (
            [{"video": "a.mp4", "sentences": []}, {"video": "./a.mp4", "sentences": []}],
            r"expected videos with distinct file names, got \['a.mp4'\]",
        ),
    ],
)
def test_wrong_samples_are_refused(tmp_path, entries, message):
    (tmp_path / "a.mp4").touch()
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        web.read_samples(write_samples(tmp_path, *entries), Tokenizer(["dog"], 9))


def test_without_built_scripts_the_error_names_the_command(monkeypatch, tmp_path, source):
    monkeypatch.setattr(web, "ASSETS", tmp_path)
    with pytest.raises(FileNotFoundError, match="build them with: make web-assets"):
        web.export(source, str(tmp_path / "page"))


def test_the_cache_folder_changes_with_the_model(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("1")
    first = web.cache_folder(str(model), None, None)
    assert first == web.cache_folder(str(model), None, None)
    assert pathlib.Path(first).is_relative_to(tmp_path / "cache")
    assert first != web.cache_folder(str(model), None, "random:1")
    (model / "config.json").write_text("22")
    assert first != web.cache_folder(str(model), None, None)


def test_unassigned_characters_are_those_of_python():
    ranges = web.unassigned_characters()
    unassigned = {code for first, last in ranges for code in range(first, last + 1)}
    for code in (*range(0x3000), 0x2FE0, sys.maxunicode):
        assert (code in unassigned) == (unicodedata.category(chr(code)) == "Cn"), hex(code)
    assert ranges == sorted(ranges)


def test_the_server_sends_types_and_the_headers_for_threads(page):
    with serving(web.make_server(str(page))) as address:
        connection = http.client.HTTPConnection(address.split("/")[2])
        for path, kind in (
            ("/", "text/html; charset=utf-8"),
            ("/worker.js", "text/javascript; charset=utf-8"),
            ("/model/i3d.tflite", "application/octet-stream"),
            ("/runtime/litert_wasm_internal.wasm.gz", "application/gzip"),
        ):
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            assert (response.status, response.headers["Content-Type"]) == (200, kind)
            assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            assert response.headers["Content-Security-Policy"] == web.POLICY
        for path in ("/../tokenization.py", "/%2e%2e/tokenization.py", "/%00", "/model/"):
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            assert response.status == 404, path
        connection.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("[::1]:80", 200),
        ("127.0.0.1", 200),
        ("evil.example", 421),
        ("localhost.evil.example:80", 421),
        ("[evil", 421),
    ],
)
def test_the_server_answers_for_this_machine_only(page, host, status):
    # Else any web site could read the files: its name may resolve to this machine.
    with serving(web.make_server(str(page))) as address:
        connection = http.client.HTTPConnection(address.split("/")[2])
        connection.request("GET", "/model/model.json", headers={"Host": host})
        response = connection.getresponse()
        assert (response.status, b"tokens" in response.read()) == (status, status == 200)
        connection.close()


def test_a_browser_that_closes_the_connection_is_no_error(page, capfd):
    server = web.make_server(str(page))
    with serving(server):
        for error, printed in ((ConnectionResetError, False), (KeyError, True)):
            try:
                raise error
            except error:
                server.handle_error(None, ("127.0.0.1", 1))
            assert (error.__name__ in capfd.readouterr().err) == printed


def test_a_port_in_use_is_named(page):
    with (
        serving(web.make_server(str(page))) as address,
        pytest.raises(ValueError, match=r"^port \d+: .*; choose another --port"),
    ):
        web.make_server(str(page), int(address.rstrip("/").rpartition(":")[2]))


def test_the_page_has_the_same_policy_as_the_server():
    html = (WEB_PAGE / "index.html").read_text()
    assert re.search(r'content="(default-src [^"]*)"', html)[1] == web.POLICY


def test_the_built_files_are_those_of_the_sources():
    names = ["index.html", "style.css", "favicon.svg", "build.js", "package-lock.json"]
    names += sorted(f"src/{name}" for name in os.listdir(WEB_PAGE / "src"))
    found = hashlib.sha256()
    for name in names:
        found.update(f"{name}\0".encode() + (WEB_PAGE / name).read_bytes())
    built = (WEB_PAGE / "dist" / "sources.sha256").read_text().strip()
    assert found.hexdigest() == built, "the page has changed; build it again: make web-assets"


def test_the_built_files_name_no_other_host():
    lock = json.loads((WEB_PAGE / "package-lock.json").read_text())
    assert not [each for each in lock["packages"].values() if "resolved" in each]
    html = (WEB_PAGE / "dist" / "index.html").read_text()
    assert re.findall(r"(?:src|href)=\"(?:https?:)?//[^\"]*", html) == []


def test_the_built_files_are_small_enough_for_the_repository():
    size = sum(path.stat().st_size for path in web.ASSETS.rglob("*") if path.is_file())
    assert size < 15_000_000


def test_the_licences_of_the_bundled_packages_are_listed():
    lock = json.loads((WEB_PAGE / "package-lock.json").read_text())["packages"]
    bundled = [path for path, each in lock.items() if path and not each.get("dev")]
    table = (WEB_PAGE.parents[1] / "docs" / "web.md").read_text()
    texts = (WEB_PAGE / "dist" / "licences.txt").read_text()
    assert len(bundled) >= 3
    for path in bundled:
        name, version = path.removeprefix("node_modules/"), lock[path]["version"]
        if "@types/" in name:
            continue
        assert f"| {name} | {version} | {lock[path]['license']} |" in table
        assert f"{name} {version}\nLicence: {lock[path]['license']}\n" in texts


def test_a_broken_page_in_the_cache_is_written_again(source, page, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tflite, "network_file", lambda *_: b"again")
    monkeypatch.setattr(web.Server, "serve_forever", lambda *_: None)
    folder = pathlib.Path(web.cache_folder(source, None, None))
    shutil.copytree(page, folder)
    shutil.rmtree(folder / "model")
    (folder / "other").touch()
    if "browser" not in web.FLAGS:
        web.define_flags()
    web.FLAGS.mark_as_parsed()
    with small_i3d(), flagsaver.flagsaver(preset=source, output_dir=None, browser=False):
        web.main(["web"])
    assert (folder / "model" / "i3d.tflite").read_bytes() == b"again"


def test_a_page_in_the_cache_is_served_until_it_is_interrupted(page, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = pathlib.Path(web.cache_folder(preset.find("gkcmn_shapes"), None, None))
    shutil.copytree(page, folder)
    (folder / "index.html").write_text("<title>cached</title>")
    command = [sys.executable, "-m", "export.web", "--nobrowser"]
    with subprocess.Popen(
        command, cwd=WEB_PAGE.parents[1], stdout=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        address = re.match(r"http://127\.0\.0\.1:\d+/(?= shows the page)", line)[0]
        with urllib.request.urlopen(address) as response:
            assert response.read() == b"<title>cached</title>"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
