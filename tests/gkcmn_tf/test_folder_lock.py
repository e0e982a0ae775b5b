"""Two processes on one folder."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from gkcmn_tf.folder_lock import LOCK_FILE, folder_lock

HOLD = """
import sys
from gkcmn_tf.folder_lock import folder_lock
with folder_lock(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_process_is_refused_and_names_the_first(holder, tmp_path):
    message = f"run: in use by process {holder.pid} on {socket.gethostname()} since 20"
    for _ in range(2):
        with pytest.raises(ValueError, match=message), folder_lock(str(tmp_path / "run")):
            pass
    holder.communicate("")
    assert holder.returncode == 0
    with folder_lock(str(tmp_path / "run")):
        (tmp_path / "run" / "a.txt").write_text("a")
    assert os.listdir(tmp_path / "run") == ["a.txt"]


def test_the_lock_of_a_killed_process_is_taken_over(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert os.listdir(tmp_path / "run") == [LOCK_FILE]
    with folder_lock(str(tmp_path / "run")):
        assert f'"process": {os.getpid()}' in (tmp_path / "run" / LOCK_FILE).read_text()
    assert os.listdir(tmp_path / "run") == []


def test_other_folders_are_free(holder, tmp_path):
    with folder_lock(str(tmp_path / "other" / "run")):
        pass
    assert not (tmp_path / "other" / "run").exists()


def test_a_file_that_was_cut_is_still_locked(holder, tmp_path):
    (tmp_path / "run" / LOCK_FILE).write_text("")
    with (
        pytest.raises(ValueError, match="in use by another process"),
        folder_lock(str(tmp_path / "run")),
    ):
        pass
