"""One run at a time in a folder."""

import os
import signal
import subprocess
import sys

import pytest

from svp.errors import InputError
from svp.media.only_writer import only_writer

HOLD = """
import os, sys, time
from pathlib import Path
from svp.media.only_writer import only_writer
with only_writer(Path(sys.argv[1]), "working in it"):
    if not os.fork():
        print("held", flush=True)  # by the child, which has let go by now
    time.sleep(60)
"""


def test_a_second_run_is_told_to_wait_and_an_empty_folder_goes(tmp_path):
    folder = tmp_path / "new" / "folder"
    with only_writer(folder, "working in it"):
        (folder / "kept.txt").touch()
        with (
            pytest.raises(InputError, match=r"^a\.mp4: another run is making it; wait"),
            only_writer(folder, "making it", "a.mp4"),
        ):
            raise AssertionError("two at once")
    with only_writer(folder, "working in it"):
        (folder / "kept.txt").unlink()
    assert folder.is_dir()  # it was there before
    with pytest.raises(KeyError), only_writer(tmp_path / "other" / "folder", "working in it"):
        raise KeyError
    assert not (tmp_path / "other").exists()


def test_a_folder_that_is_removed_meanwhile_is_no_fault(tmp_path):
    folder = tmp_path / "folder"
    with only_writer(folder, "working in it"):
        folder.rmdir()
    with only_writer(folder, "working in it"), pytest.raises(InputError), only_writer(folder, "working in it"):
        raise AssertionError("two at once")


def test_where_nothing_can_be_made_the_writer_tells(tmp_path):
    (tmp_path / "file").touch()
    with only_writer(tmp_path / "file" / "folder", "working in it"):
        pass


def test_a_lock_goes_with_its_process_though_its_child_lives(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="another run is working in it"), only_writer(tmp_path, "working in it"):
            raise AssertionError("two at once")
        process.kill()
        process.wait()
        with only_writer(tmp_path, "working in it"):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
