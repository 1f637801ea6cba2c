"""What of an earlier run of `svp generate --jobs` is used again: rows of its manifest, features of its inputs."""

import json
from pathlib import Path

import pytest
from tiny_jobs import PORTRAIT, write

from svp.jobs import features, run
from svp.jobs.features import features_of
from svp.jobs.manifest import MANIFEST, VideoRow, read_manifest, write_manifest
from svp.jobs.request import read_jobs
from svp.jobs.run import generate_all

ROW = VideoRow(output="zoë\u2028.mp4", line=1, status="ok", frames=25)


@pytest.mark.parametrize("torn", [b'{"output": "b.mp', '{"output": "é'.encode()[:-1]], ids=["line", "character"])
def test_rows_beside_half_a_line_are_kept(torn: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    write_manifest(tmp_path, [ROW])
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(torn)
    assert read_manifest(tmp_path) == {ROW.output: ROW}
    monkeypatch.setattr(run, "Workers", killed)
    with pytest.raises(KeyboardInterrupt):
        generate_all(write(tmp_path, ["{"]), tmp_path, workers=1, progress=False)
    assert list(read_manifest(tmp_path)) == [ROW.output, "000001.mp4"]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_a_line_of_jobs_ends_at_its_end_alone(end: str, tmp_path: Path) -> None:
    lines = [json.dumps({"audio": f"a{c}b"}, ensure_ascii=False) for c in "\u2028\u2029\x85"]
    path = tmp_path / "jobs.jsonl"
    path.write_bytes(end.join([*lines, "", "{", ""]).encode())
    found = read_jobs(path)
    assert [job.line for job in found] == [1, 2, 3, 5]
    assert ["portrait: Field required" in job.reason for job in found] == [True, True, True, False]


def test_features_of_another_version_are_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.wav", "clip.mp4"):
        (tmp_path / name).write_bytes(b"not read")
    line = {"portrait": str(PORTRAIT), "audio": "a.wav", "style": "clip.mp4", "head_motion": "clip.mp4"}
    [job] = read_jobs(write(tmp_path, [line]))
    frames = {tmp_path / "clip.mp4": 25}
    before = [feature.path for feature in features_of(job, tmp_path, frames)]
    assert before == [feature.path for feature in features_of(job, tmp_path, frames)] and len(before) == 3
    monkeypatch.setattr(features, "__version__", "another")
    assert not set(before) & {feature.path for feature in features_of(job, tmp_path, frames)}
