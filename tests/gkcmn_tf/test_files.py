import os
import subprocess

import pytest

from gkcmn_tf import files


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with files.whole_file(str(path)) as temporary:
        with open(temporary, "w") as file:
            file.write("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert os.listdir(path.parent) == ["a.txt"]


def test_an_error_keeps_the_existing_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), files.whole_file(str(path)) as temporary:
        with open(temporary, "w") as file:
            file.write("ne")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_name_without_a_folder_is_written_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_text("a.txt", "dög")
    assert (tmp_path / "a.txt").read_bytes() == "dög".encode()


def test_temporary_files_of_killed_processes_are_removed(tmp_path):
    files.write_text(str(tmp_path / "b" / "a.txt"), "whole")
    writer = files.whole_file(str(tmp_path / "b" / "killed.txt"))
    with open(writer.__enter__(), "w") as file:
        file.write("half")
    assert len(os.listdir(tmp_path / "b")) == 2
    (tmp_path / "b" / "notes.tmp-old").write_text("not ours")
    (tmp_path / "b" / "notes.tmp-1").write_text("not ours")
    files.remove_temporary_files(str(tmp_path), [".txt"])
    files.remove_temporary_files(str(tmp_path / "b"), [".json"])
    assert len(os.listdir(tmp_path / "b")) == 4
    files.remove_temporary_files(str(tmp_path / "b"), [".json", ".txt"])
    assert sorted(os.listdir(tmp_path / "b")) == ["a.txt", "notes.tmp-1", "notes.tmp-old"]


def test_only_files_of_ended_processes_are_removed_when_a_file_is_written_again(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = ["a.txt.tmp-", "a.txt.tmp-notes", f"a.txt.tmp-{os.getppid()}", f"b.tmp-{ended.pid}"]
    for name in [*left, f"a.txt.tmp-{ended.pid}"]:
        (tmp_path / name).write_text("half")
    files.write_text(str(tmp_path / "a.txt"), "whole")
    assert sorted(os.listdir(tmp_path)) == sorted([*left, "a.txt"])
    folder = tmp_path / f"c.tmp-{ended.pid}"
    (folder / "variables").mkdir(parents=True)
    assert files.temporary_path(str(tmp_path / "c")) == f"{tmp_path}/c.tmp-{os.getpid()}"
    assert not folder.exists()


def test_json_is_read_as_written_and_errors_name_the_file(tmp_path):
    path = str(tmp_path / "a.json")
    files.write_json(path, {"é": [1, None]})
    assert files.read_json(path) == {"é": [1, None]}
    assert files.read_json(path, object_pairs_hook=list) == [("é", [1, None])]
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, float("nan"))
    assert files.read_json(path) == {"é": [1, None]}
    files.write_text(path, '\ufeff{"é": 1}')
    assert files.read_json(path) == {"é": 1}
    files.write_text(path, "{")
    with pytest.raises(ValueError, match=r"a\.json: not valid JSON"):
        files.read_json(path)
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such file"):
        files.read_json(str(tmp_path / "none.json"))


def test_a_folder_is_told_before_anything_is_written(tmp_path):
    with (
        pytest.raises(IsADirectoryError, match=f"Is a directory: '{tmp_path}'"),
        files.whole_file(str(tmp_path)),
    ):
        pytest.fail("the file was opened")


def test_an_error_of_writing_names_the_file(tmp_path):
    path = str(tmp_path / "a.txt")
    with pytest.raises(OSError, match="No space left") as raised, files.whole_file(path):
        raise OSError(28, "No space left on device")
    assert raised.value.filename == path
