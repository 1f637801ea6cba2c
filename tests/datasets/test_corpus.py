"""The puppet corpus: its ground truth, and that nothing but the seed decides what it holds."""

from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from recordings import OPTIONS, add_recording, add_speech

from svp.datasets import material
from svp.datasets.corpus import CorpusReport, load_puppet, make_corpus
from svp.datasets.corpus_plan import find_portraits, plan_corpus
from svp.datasets.performance import measure_head
from svp.datasets.phones import PHONES, read_phones
from svp.datasets.prepared import PreparedDataset
from svp.datasets.sounds import motion_sounds, speech_sounds
from svp.errors import InputError
from svp.face.model import FaceModel
from svp.media.audio import write_wav
from svp.media.image import read_image, write_png

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_speech(tmp_path_factory.mktemp("speech"))


@pytest.fixture(scope="module")
def portraits(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portraits")
    for name in ("anitalker_aiface2.png", "anitalker_aiface3.png"):
        (folder / name).symlink_to(shared / "data/portraits" / name)
    write_png(folder / "wall.png", np.random.default_rng(0).integers(0, 255, (120, 120, 3), np.uint8))
    return folder


@pytest.fixture(scope="module")
def corpus(portraits: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    out = tmp_path_factory.mktemp("made") / "corpus"
    make_corpus(portraits, out, OPTIONS, speech=speech, progress=False)
    return PreparedDataset(out)


def test_corpus_is_a_prepared_dataset_with_ground_truth(corpus: PreparedDataset) -> None:
    rows = corpus.accepted()
    assert len(rows) == 12 and corpus.expression_encoder == FaceModel.load().encoder_id
    assert len({row.identity for row in rows}) == 2
    jaw = FaceModel.load().unit("jawOpen")
    correlations = []
    for row in rows:
        clip = corpus.clip(row.clip_id)
        expression, landmarks = clip.features("expression"), clip.features("landmarks")
        assert expression.shape == (row.frames, 52) and expression.min() >= 0
        assert clip.features("audio").shape == (row.frames, 1920)
        assert clip.frames().shape == (row.frames, 64, 64, 3)
        assert landmarks[:, :468, :2].min() > 0 and landmarks[:, :468, :2].max() < 64
        assert np.array_equal(clip.features("head_kps")[:, 4], landmarks[:, 468, :2])
        # Every recording goes pau, m, aa, pau; the lips are shut in the middle of /m/ and the jaw is down in /aa/.
        spoken = [PHONES[number] for number in clip.features("phones")]
        assert [name for name, _ in groupby(spoken)] in (["pau", "m", "aa", "pau"], ["m", "aa", "pau"], ["m", "aa"],
                                                         ["pau", "m", "aa"], ["aa", "pau"])  # fmt: skip
        vowel = [k for k, name in enumerate(spoken) if name == "aa"]
        assert expression[vowel, jaw].max() == expression[:, jaw].max()
        gap = np.linalg.norm(landmarks[:, 13, :2] - landmarks[:, 14, :2], axis=1)
        correlations.append(np.corrcoef(gap, expression[:, jaw])[0, 1])
    assert np.median(correlations) > 0.9


def test_picture_without_a_face_is_rejected_with_its_reason(corpus: PreparedDataset) -> None:
    rejected = [row for row in corpus.rows if row.status == "rejected"]
    assert {row.identity for row in rejected} == {"wall"}
    assert all("no face found" in row.reason for row in rejected)


def test_picture_without_room_above_the_head_is_rejected(shared: Path, tmp_path: Path) -> None:
    tight = shared / "data/portraits/cremad_emotalkingface_img05.png"  # cut at the hairline
    with pytest.raises(InputError, match=r"img05\.png: too tight, 1\d% of the crop lie above the picture"):
        load_puppet(tight, 64)
    picture = read_image(tight)
    higher = np.pad(picture, ((len(picture) // 3, 0), (0, 0), (0, 0)), mode="edge")
    write_png(tmp_path / "roomy.png", higher)
    assert load_puppet(tmp_path / "roomy.png", 64).size == 64


def test_workers_and_interruption_change_nothing(
    corpus: PreparedDataset, portraits: Path, speech: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    rows = make_corpus(portraits, out, OPTIONS, speech=speech, workers=2, progress=False).rows
    assert [row.model_dump() for row in rows] == [row.model_dump() for row in corpus.rows]
    lost = next(row for row in rows if row.status == "ok")
    (out / "features" / f"{lost.clip_id}.safetensors").unlink()
    kept = next(row for row in reversed(rows) if row.status == "ok")
    before = (out / "clips" / f"{kept.clip_id}.mp4").stat().st_mtime_ns
    make_corpus(portraits, out, OPTIONS, speech=speech, progress=False)
    assert (out / "clips" / f"{kept.clip_id}.mp4").stat().st_mtime_ns == before
    for row in corpus.accepted():
        for folder, suffix in (("features", "safetensors"), ("clips", "mp4"), ("clips", "wav")):
            name = f"{folder}/{row.clip_id}.{suffix}"
            assert (out / name).read_bytes() == (corpus.root / name).read_bytes(), name


def test_what_a_changed_file_gave_is_made_again(shared: Path, tmp_path: Path) -> None:
    """Continuing a corpus: the same files cost nothing, another picture or recording under an old name is taken."""
    options = OPTIONS.model_copy(update={"clips_per_emotion": 1})
    folder, out = tmp_path / "portraits", tmp_path / "corpus"
    folder.mkdir()
    pictures = [(shared / "data/portraits" / f"anitalker_aiface{k}.png").read_bytes() for k in (2, 3)]
    (folder / "ann.png").write_bytes(pictures[0])
    speech = speech_of(tmp_path)

    def made() -> dict[str, tuple[bytes, bytes, int]]:
        rows = make_corpus(folder, out, options, speech=speech, progress=False).rows
        assert [row.status for row in rows] == ["ok"] * 3
        files = [(out / f"clips/{row.clip_id}.mp4", out / f"clips/{row.clip_id}.wav") for row in rows]
        return {v.stem: (v.read_bytes(), w.read_bytes(), v.stat().st_mtime_ns) for v, w in files}

    first = made()
    assert made() == first
    audio = np.random.default_rng(5).normal(0, 0.1, 12800).astype(np.float32)
    write_wav(speech / "only.wav", audio)
    second = made()
    assert all(second[name][1] != first[name][1] and second[name][2] > first[name][2] for name in first)
    (folder / "ann.png").write_bytes(pictures[1])
    third = made()
    assert third.keys() == first.keys()
    assert all(third[name][0] != second[name][0] and third[name][1] == second[name][1] for name in first)
    add_recording(speech, "other", "Quite different words.", None)
    make_corpus(folder, out, options, speech=speech, progress=False)  # clips that the new plan lacks are gone
    assert len(list((out / "clips").iterdir())) == 6
    (folder / "ann.png").rename(folder / "bella.png")  # as is a person whose portrait is gone
    rows = make_corpus(folder, out, options, speech=speech, progress=False).rows
    assert {(row.identity, row.status) for row in rows} == {("bella", "ok")}
    assert {path.name.partition("__")[0] for path in (out / "clips").iterdir()} == {"bella"}


def test_unusable_recordings_are_set_aside_and_told(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest goes on, and whatever is measured of a recording is measured once."""
    pytest.importorskip("pocketsphinx", reason="alignment needs the extra speech")
    folder, speech = tmp_path / "portraits", tmp_path / "speech"
    folder.mkdir(), speech.mkdir()
    (folder / "ann.png").symlink_to(shared / "data/portraits/anitalker_aiface2.png")
    for name in ("good", "latin", "mute", "short", "strange", "torn", "untimed"):
        add_recording(speech, name, "Hello.", None)
    for name in ("latin", "mute", "strange"):
        (speech / f"{name}.phones.json").unlink()
    (speech / "latin.txt").write_bytes("Un café".encode("latin-1"))
    (speech / "mute.txt").unlink()
    write_wav(speech / "short.wav", np.zeros(3200, np.float32))
    (speech / "strange.txt").write_text("Qwxyzzy.")
    (speech / "torn.wav").write_bytes(b"RIFF")
    (speech / "untimed.phones.json").write_text("[[")
    measured = []
    monkeypatch.setattr(material, "read_phones", lambda path: measured.append(path.stem) or read_phones(path))
    options = OPTIONS.model_copy(update={"clips_per_emotion": 4, "val_fraction": 0.0, "test_fraction": 0.0})
    report = make_corpus(folder, tmp_path / "out", options, speech=speech, progress=False)
    assert Counter(measured) == Counter(["good", "strange", "untimed"])
    assert set(report.left_out) == {"latin", "mute", "short", "strange", "torn", "untimed"}
    said = {row.source.rpartition(" ")[2]: (row.status, row.reason) for row in report.rows}
    assert said["good"] == ("ok", "") and set(said) == {"good", "strange", "untimed"}
    assert said["strange"][0] == "rejected" and "cannot align qwxyzzy" in said["strange"][1]
    assert said["untimed"][0] == "rejected" and "untimed.phones.json: not a list" in said["untimed"][1]
    clips, *rejected, told = str(report).splitlines()
    assert len(rejected) == 2 and any("cannot align qwxyzzy" in line for line in rejected)
    assert clips.startswith(f"{sum(row.status == 'ok' for row in report.rows)} clips of 1 identities")
    assert told.startswith("6 recordings left out: ") and "1 shorter than 10 frames (such as short)" in told
    assert "1 no .phones.json or .txt beside it (such as mute)" in told and "latin.txt: not a text in UTF-8" in told
    assert not (tmp_path / "out/.material").exists()
    many = CorpusReport((), {f"a{number}": f"reason {min(number, 7)}" for number in range(20)})
    told = str(many).splitlines()[1]
    assert told.startswith("20 recordings left out: 13 reason 7 (such as a10), 1 reason 0") and len(told) < 300
    assert told.endswith(", 3 for other reasons")


def test_motions_of_real_clips_are_repeated(
    corpus: PreparedDataset, portraits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, fitted = tmp_path / "motion", []
    monkeypatch.setattr(material, "measure_head", lambda *clip: fitted.append(clip[0].tobytes()) or measure_head(*clip))
    make_corpus(portraits, out, OPTIONS, motions=corpus.root, progress=False)
    made = PreparedDataset(out)
    assert made.accepted()
    assert len(fitted) == len(set(fitted)) == len({row.source.split(" + ")[1] for row in made.rows})
    for row in made.accepted():
        source = corpus.clip(row.source.split(" + ")[1])
        assert (row.emotion, row.intensity) == (source.row.emotion, source.row.intensity)
        spoken, shown = source.features("expression"), made.clip(row.clip_id).features("expression")
        starts = range(len(source) - row.frames + 1)
        assert min(np.abs(spoken[k : k + row.frames] - shown).max() for k in starts) < 1e-6


def test_real_clips_come_beside_speech(corpus: PreparedDataset, portraits: Path, speech: Path, tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"motion_clips": 1})
    make_corpus(portraits, tmp_path / "both", options, speech=speech, motions=corpus.root, progress=False)
    both = PreparedDataset(tmp_path / "both")
    spoken = {row.clip_id for row in corpus.accepted()}
    assert spoken < {row.clip_id for row in both.accepted()}
    repeated = [row for row in both.accepted() if row.clip_id not in spoken]
    assert Counter(row.identity for row in repeated) == Counter({row.identity for row in corpus.accepted()})
    assert all(row.source.split(" + ")[1] in spoken for row in repeated)
    many = OPTIONS.model_copy(update={"motion_clips": 9})  # more than there are clips with speech
    sounds = speech_sounds(speech, many.min_frames)[0] + motion_sounds(corpus, many.min_frames)
    plans = plan_corpus(find_portraits(portraits), sounds, many, {})
    assert all(sum(clip.sound.real for clip in clips) == 9 for clips in plans.values())
    for row in corpus.accepted():
        name = f"features/{row.clip_id}.safetensors"
        assert (both.root / name).read_bytes() == (corpus.root / name).read_bytes(), name


def test_unusable_inputs_are_named(speech: Path, tmp_path: Path, shared: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no picture in it"):
        make_corpus(empty, tmp_path / "out", OPTIONS, speech=speech, progress=False)
    with pytest.raises(InputError, match=r"no usable \.wav with \.phones\.json or \.txt"):
        make_corpus(empty, tmp_path / "out", OPTIONS, speech=empty, progress=False)
    (empty / "wall.png").symlink_to(shared / "data/README.md")
    with pytest.raises(InputError, match=r"no clip could be made .*wall\.png"):
        make_corpus(empty, tmp_path / "out", OPTIONS, speech=speech, progress=False)


def test_sound_features_must_be_what_the_clips_have(corpus: PreparedDataset, portraits: Path, tmp_path: Path) -> None:
    other = OPTIONS.model_copy(update={"audio_encoder": "whisper-tiny.en/normed"})
    with pytest.raises(InputError, match=r"sound features are log-mel, not whisper-tiny\.en/normed"):
        make_corpus(portraits, tmp_path / "out", other, motions=corpus.root, progress=False)
    with pytest.raises(InputError, match="nosuch"):
        no_encoder = OPTIONS.model_copy(update={"audio_encoder": "./nosuch"})
        make_corpus(portraits, tmp_path / "out", no_encoder, speech=speech_of(tmp_path), progress=False)
    assert not (tmp_path / "out").exists()


def speech_of(folder: Path) -> Path:
    """One recording."""
    (folder / "one").mkdir()
    add_recording(folder / "one", "only", "One sentence.", None)
    return folder / "one"
