"""Files that appear whole."""

import pytest

from svp.errors import InputError
from svp.media.whole_file import output_file, whole_file


def test_a_file_appears_when_it_is_complete_and_not_before(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    with pytest.raises(KeyError), whole_file(path) as partial:
        partial.write_text("half")
        raise KeyError
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as first:
        first.write_text("first")
        with whole_file(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]


def test_long_names_are_written(tmp_path):
    path = tmp_path / ("ü" * 120 + ".txt")  # 244 bytes of the 255 a name may have
    with whole_file(path) as partial:
        partial.write_text("whole")
    assert path.read_text() == "whole"


def test_an_output_makes_its_folder_or_says_why_not(tmp_path):
    with output_file(tmp_path / "new" / "a.txt") as partial:
        partial.write_text("whole")
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"file/a\.txt: cannot be written") as caught,
        output_file(tmp_path / "file" / "a.txt"),
    ):
        raise AssertionError("there is nowhere to write")
    assert "partial" not in str(caught.value)
