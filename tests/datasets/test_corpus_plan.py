"""The plan of the puppet corpus: who is in which split, and who shows what to which sound."""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from recordings import OPTIONS, VOICES, add_speech

from svp.datasets.corpus_plan import ClipPlan, CorpusOptions, Person, find_portraits, known_splits, plan_corpus
from svp.datasets.emotions import EMOTIONS
from svp.datasets.manifest import Split
from svp.datasets.sounds import Sound, speech_sounds, split_motions, split_sounds
from svp.errors import InputError


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_speech(tmp_path_factory.mktemp("speech"))


def plan_of(portraits: Path, sounds: list[Sound], options: CorpusOptions) -> dict[Person, list[ClipPlan]]:
    return plan_corpus(find_portraits(portraits), sounds, options, {})


def test_plan_splits_identities_voices_and_sentences_and_pairs_emotions(speech: Path, tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"p{number}.png").write_bytes(bytes([number]))
    plans = plan_of(tmp_path, speech_sounds(speech, OPTIONS.min_frames)[0], OPTIONS)
    splits, voices, sentences = defaultdict(set), defaultdict(set), defaultdict(set)
    for clips in plans.values():
        emotions = Counter(clip.row.emotion for clip in clips)
        assert emotions["neutral"] == 2 and len(emotions) == 3 and set(emotions.values()) == {2}
        for clip in clips:
            splits[clip.row.split].add(clip.row.identity)
            voices[clip.row.split].add(clip.row.voice)
            sentences[clip.row.split].add(clip.sound.words)
            assert clip.row.intensity == 2 or clip.sound.emotion != clip.row.emotion or clip.row.emotion == "neutral"
            assert (clip.row.intensity == 0) == (clip.row.emotion == "neutral")
            assert clip.start + clip.row.frames <= clip.sound.frames
    assert len(splits["test"]) == 8 and len(splits["train"]) == 30
    assert set().union(*voices.values()) == set(VOICES)
    for kind in (splits, voices, sentences):
        assert not kind["train"] & kind["test"] and not kind["train"] & kind["val"] and not kind["val"] & kind["test"]
    ids = [clip.row.clip_id for clips in plans.values() for clip in clips]
    assert len(set(ids)) == len(ids) == 240
    assert plan_of(tmp_path, speech_sounds(speech, OPTIONS.min_frames)[0], OPTIONS) == plans
    other = plan_of(tmp_path, speech_sounds(speech, OPTIONS.min_frames)[0], OPTIONS.model_copy(update={"seed": 4}))
    assert other != plans


def sound(voice: str, words: str, emotion: str | None = None, split: Split | None = None) -> Sound:
    """Voices that begin with the same letter are one speaker's."""
    return Sound(Path("x.wav"), f"{voice}_{words}", voice, voice[:1], words, emotion, 0, 50, "", split)


def test_voices_share_no_split_whatever_they_say() -> None:
    fractions = {"val_fraction": 0.1, "test_fraction": 0.1, "seed": 0}
    alike = split_sounds([sound(voice, words) for voice in "abcdefgh" for words in ("one", "two")], **fractions)
    heard = {split: {s.voice for s in sounds} for split, sounds in alike.items()}
    assert sum(map(len, heard.values())) == len(set().union(*heard.values())) == 8 and all(heard.values())
    assert len(heard["train"]) == 6
    one = split_sounds([sound("", str(number)) for number in range(30)], **fractions)  # nobody said who speaks
    assert sorted(len(sounds) for sounds in one.values()) == [3, 3, 24]
    assert len({s.words for sounds in one.values() for s in sounds}) == 30
    lonely = split_sounds([sound("", "one")], **fractions)
    assert all(len(sounds) == 1 for sounds in lonely.values()), "with one sentence there is nothing to keep apart"
    # A sentence of the test is not heard in training, although other voices say it there.
    mixed = [sound(voice, f"{n}") for k, voice in enumerate("abcd") for n in range(10 * k, 10 * k + 12)]
    split = split_sounds(mixed, **fractions)
    assert not {s.words for s in split["test"]} & {s.words for s in split["train"]}


def test_voices_of_one_speaker_stay_together() -> None:
    voices = ("ann", "abe", "bob", "bo", "cy", "dan", "eve")
    sounds = [sound(voice, f"{voice} {number}") for voice in voices for number in range(3)]
    for seed in range(5):
        split = split_sounds(sounds, val_fraction=0.1, test_fraction=0.1, seed=seed)
        speakers = [{s.speaker for s in split[part]} for part in ("train", "val", "test")]
        assert sum(map(len, speakers)) == len(set().union(*speakers)) == 5 and all(speakers)


def test_people_of_another_split_drive_nobody(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"p{number}.png").touch()
    splits: tuple[Split, ...] = ("train", "train", "val", "test")
    sounds = [sound(f"{person}", f"clip {k}", None, splits[person]) for person in range(4) for k in range(6)]
    clips = [clip for clips in plan_of(tmp_path, sounds, OPTIONS).values() for clip in clips]
    assert {clip.row.split for clip in clips} == {"train", "val", "test"}
    assert all(clip.sound.split == clip.row.split for clip in clips)
    few = split_motions([clip for clip in sounds if clip.split != "val"])
    assert few["val"] == few["train"] and {clip.split for clip in few["train"]} == {"train"}
    assert {clip.split for clip in few["test"]} == {"test"}


def test_an_emotion_nobody_speaks_with_is_shown_to_neutral_speech(tmp_path: Path) -> None:
    (tmp_path / "ada.png").touch()
    options = OPTIONS.model_copy(update={"emotions_per_identity": 8, "val_fraction": 0.0, "test_fraction": 0.0})
    feelings = ("neutral", None, "sad", "angry")
    sounds = [sound("ann", f"{emotion} {number}", emotion) for emotion in feelings for number in range(4)]
    (clips,) = plan_of(tmp_path, sounds, options).values()
    for clip in clips:
        wanted = {clip.row.emotion} if clip.row.emotion in feelings else {"neutral", None}
        assert clip.sound.emotion in wanted
    assert {clip.row.emotion for clip in clips} == set(EMOTIONS)


def test_a_share_of_the_sentences_is_spoken_plainly_whatever_the_face_shows(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"p{number}.png").write_bytes(bytes([number]))
    sounds = [sound("ann", f"{emotion} {number}", emotion) for emotion in EMOTIONS for number in range(2)]
    everybody = {"val_fraction": 0.0, "test_fraction": 0.0}
    for share in (0.0, 0.5, 1.0):
        plans = plan_of(tmp_path, sounds, OPTIONS.model_copy(update={**everybody, "plain_speech": share}))
        felt = [clip for clips in plans.values() for clip in clips if clip.row.emotion != "neutral"]
        plain = [clip for clip in felt if clip.sound.emotion == "neutral"]
        assert abs(len(plain) / len(felt) - share) < (0.1 if share == 0.5 else 1e-9)
        assert all(clip.row.intensity in (1, 2, 3) for clip in plain)
        assert all(clip.sound.emotion == clip.row.emotion for clip in felt if clip not in plain)


def test_looks_of_a_portrait_are_people_of_one_split(speech: Path, tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"p{number}.png").write_bytes(bytes([number]))
    options = OPTIONS.model_copy(update={"looks": 3})
    plans = plan_of(tmp_path, speech_sounds(speech, options.min_frames)[0], options)
    assert len(plans) == len({person.identity for person in plans}) == len({person.seed for person in plans}) == 60
    splits = defaultdict(set)
    for person, clips in plans.items():
        splits[person.portrait] |= {clip.row.split for clip in clips}
        assert {clip.row.identity for clip in clips} == {person.identity}
    assert len(splits) == 20 and all(len(found) == 1 for found in splits.values())
    single = plan_of(tmp_path, speech_sounds(speech, OPTIONS.min_frames)[0], OPTIONS)
    assert all(plans[person] == clips for person, clips in single.items()), "more looks leave the first one alone"


def test_every_picture_is_a_person_of_its_own(speech: Path, tmp_path: Path) -> None:
    """Names that meet when unusual letters are replaced are told apart, and the others stay as they are."""
    (tmp_path / "ada.png").touch()
    (tmp_path / "IMG_1.jpg").touch()
    before = {path.name: identity for path, identity in find_portraits(tmp_path).items()}
    assert before == {"ada.png": "ada", "IMG_1.jpg": "IMG_1"}
    for name in ("张三.png", "李四.png", "IMG (1).jpg", "bob.png", "bob.jpg", f"{'long' * 60}.png", "ada+1.png"):
        (tmp_path / name).touch()
    after = {path.name: identity for path, identity in find_portraits(tmp_path).items()}
    assert before.items() <= after.items()
    assert len(after) == len(set(after.values())) == 9 and not any("+" in identity for identity in after.values())
    plans = plan_of(tmp_path, speech_sounds(speech, OPTIONS.min_frames)[0], OPTIONS.model_copy(update={"looks": 2}))
    ids = [clip.row.clip_id for clips in plans.values() for clip in clips]
    assert len(set(ids)) == len(ids) == 18 * 6


def test_numbers_of_clips_outlast_long_names(speech: Path, tmp_path: Path) -> None:
    (tmp_path / "ada.png").touch()
    sounds = [replace(sound, name="x" * 300) for sound in speech_sounds(speech, OPTIONS.min_frames)[0]]
    (clips,) = plan_of(tmp_path, sounds, OPTIONS).values()
    assert {clip.row.clip_id.rpartition("__")[2] for clip in clips} == set("012345")


def test_people_keep_their_splits_when_others_come_and_go(speech: Path, tmp_path: Path) -> None:
    sounds, first = speech_sounds(speech, OPTIONS.min_frames)[0], [f"p{number}.png" for number in range(20)]
    for name in first:
        (tmp_path / name).touch()
    old = known_splits(clip.row for clips in plan_of(tmp_path, sounds, OPTIONS).values() for clip in clips)
    for number in range(20, 50):
        (tmp_path / f"p{number}.png").touch()
    for name in first[:5]:
        (tmp_path / name).unlink()
    grown = plan_corpus(find_portraits(tmp_path), sounds, OPTIONS.model_copy(update={"looks": 2}), old)
    splits = {person.identity: clips[0].row.split for person, clips in grown.items()}
    for name in (Path(name).stem for name in first[5:]):
        assert splits[name] == splits[f"{name}+1"] == old[name]
    assert len(splits) == 90 and 2 * 9 >= sum(split == "test" for split in splits.values()) >= 2 * 8


@pytest.mark.parametrize(("size", "drawn"), [(64, 256), (96, 288), (128, 256), (256, 256), (512, 512), (400, 400)])
def test_frames_are_drawn_at_a_multiple_of_their_size(size: int, drawn: int) -> None:
    assert CorpusOptions.checked(size=size).render_size == drawn
    assert CorpusOptions.checked(size=size).model_dump()["render_size"] == drawn


def test_wrong_options_are_input_errors() -> None:
    for values, message in (
        ({"size": 96, "render_size": 256}, "render_size 256 must be a multiple of size 96; choose"),
        ({"size": 8}, "^size 8: "),
        ({"size": 36}, "^size 36: .* multiple of 8"),
        ({"emotions_per_identity": 9}, "^emotions_per_identity 9: "),
        ({"val_fraction": float("nan")}, "^val_fraction nan: "),
        ({"colour": "red"}, "^colour 'red': "),
    ):
        with pytest.raises(InputError, match=message):
            CorpusOptions.checked(**values)
