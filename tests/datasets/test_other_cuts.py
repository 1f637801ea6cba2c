"""`svp prepare` run again with other cuts or parts: only what they cut otherwise is made anew."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from portrait_clips import encode_video, portrait, swaying, write_portrait_clip
from safetensors.numpy import save_file

from svp.datasets import extract, prepare
from svp.datasets.derived import made_from
from svp.datasets.manifest import ClipRow
from svp.datasets.prepare import prepare_folder
from svp.datasets.prepared import PreparedDataset
from svp.media.hashing import sha256_file

OPTIONS: dict[str, Any] = {"size": 48, "audio_encoder": "log-mel", "progress": False}
KINDS = (("clips", "mp4"), ("clips", "wav"), ("features", "safetensors"), ("latents/vae", "safetensors"))


def files_of(root: Path, pattern: str) -> dict[str, bytes]:
    paths = [path for place, kind in KINDS for path in root.glob(f"{place}/{pattern}.{kind}")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def cache_latents(root: Path) -> None:
    """Files with the names and headers of latents."""
    (root / "latents" / "vae").mkdir(parents=True)
    for row in PreparedDataset(root).accepted():
        made = made_from(sha256_file(root / "clips" / f"{row.clip_id}.mp4"))
        save_file({"mean": np.zeros(1)}, root / "latents" / "vae" / f"{row.clip_id}.safetensors", metadata=made)


def test_only_what_is_cut_otherwise_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, root = tmp_path / "source", tmp_path / "set"
    source.mkdir()
    write_portrait_clip(source / "short.mp4", frames=11)
    encode_video(source / "shots.mp4", [*swaying(portrait(), 12), *swaying(portrait("edgar"), 14)])
    prepare_folder(source, root, **OPTIONS)
    cache_latents(root)
    short, shots = files_of(root, "short"), files_of(root, "shots*")
    assert len(short) == len(KINDS)
    assert shots.keys() == {f"{place}/shots-p00{part}.{kind}" for part in range(2) for place, kind in KINDS}
    read: list[str] = []
    extract_clips = prepare.extract_clips
    monkeypatch.setattr(prepare, "extract_clips", lambda job, *rest: read.append(job.name) or extract_clips(job, *rest))

    def again(**options: Any) -> dict[str, int]:
        """The clips of `shots` after a run with these options, by their frames; those of `short` stay."""
        read.clear()
        prepare_folder(source, root, **OPTIONS | options)
        assert files_of(root, "short") == short
        return {row.clip_id: row.frames for row in PreparedDataset(root).accepted() if row.source == "shots.mp4"}

    assert again(cut_change=255) == {"shots": 26} and len(read) == 2  # cuts are sought in the pictures of all
    assert files_of(root, "shots*").keys() == {f"{place}/shots.{kind}" for place, kind in KINDS[:3]}  # no latents
    assert again(cut_change=255, max_seconds=0.7) == {"shots-p000": 13, "shots-p001": 13} and read == ["shots.mp4"]
    assert again(cut_change=255, max_seconds=0.8) == {"shots-p000": 13, "shots-p001": 13} and not read
    again()
    cut_again = files_of(root, "shots*")
    assert all(cut_again[name] == shots[name] for name in shots if not name.startswith("latents"))
    (source / "shots.mp4").unlink()
    assert again(max_seconds=0.8) == {"shots-p000": 12, "shots-p001": 14} and not read  # it stays
    assert again(max_seconds=0.5) == {} and not read  # it cannot be made anew


def test_latents_stay_while_the_video_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    clip, root = write_portrait_clip(tmp_path / "source" / "a.mp4"), tmp_path / "set"
    prepare_folder(tmp_path / "source", root, **OPTIONS)
    cache_latents(root)
    before = files_of(root, "a")
    clip.write_bytes(clip.read_bytes() + bytes(8))  # the same pictures in another file
    prepare_folder(tmp_path / "source", root, **OPTIONS)
    assert files_of(root, "a") == before
    clip.write_text("no video any more")
    assert prepare_folder(tmp_path / "source", root, **OPTIONS).rejected
    assert files_of(root, "a") == {}


def test_parts_are_told_within_the_sections_that_a_long_source_is_cut_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "SECTION_FRAMES", 100)
    base = ClipRow(clip_id="a", source="a.mp4", sha256="", identity="ann", start=3.0)
    spans = [(0, 20), (20, 40), (40, 60), (60, 80), (80, 100), (100, 110)]  # one shot, cut at 100
    rows = [extract.part_row(base, number, *span) for number, span in enumerate(spans)]
    assert extract.cut_alike(rows, 0.8) and extract.cut_alike(rows[::-1], 0.99)
    assert not extract.cut_alike(rows, 1.0) and not extract.cut_alike(rows, 0.7)
    assert extract.cut_alike([base], 0.7)  # never measured
