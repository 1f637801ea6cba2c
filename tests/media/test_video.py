"""Reading and writing video: time stamps, rotation, sizes, sound, damaged files."""

import gc
import weakref
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
from make_media import SIDE, encode_clip, encode_sound, encode_video, number_frame, read_number, turn
from PIL import Image

from svp.errors import InputError
from svp.media.audio import read_audio, read_audio_or_none
from svp.media.container import first_frame_time
from svp.media.video import VideoWriter, _resample, nearest_times, probe, read_frames

NTSC = Fraction(30000, 1001)


def test_ten_minutes_of_29_97_fps_stay_within_half_a_frame(tmp_path):
    count = round(600 * NTSC)
    path = encode_video(tmp_path / "long.mp4", (number_frame(i) for i in range(count)), rate=NTSC)
    shown = np.array([read_number(frame) for frame in read_frames(path, fps=25.0)])
    assert abs(len(shown) - 600 * 25) <= 1
    error = shown / float(NTSC) - np.arange(len(shown)) / 25.0
    assert np.abs(error).max() <= 0.5 / float(NTSC) + 1e-4
    assert np.array_equal(shown, list(nearest_times(((i / float(NTSC), 1 / float(NTSC)) for i in range(count)), 25.0)))


@pytest.mark.parametrize("source", [8.0, 12.5, 15.0, 24.0, 25.0, 29.97, 50.0, 59.94, 120.0])
def test_every_rate_keeps_its_time_and_length(source):
    count = round(60 * source)
    shown = np.array(list(nearest_times(((i / source, 1 / source) for i in range(count)), 25.0)))
    assert abs(len(shown) - 25 * count / source) <= 0.5 + 1e-9
    error = shown / source - np.arange(len(shown)) / 25.0
    # nearest frame, except that a slow source is held until at most one output frame before its next picture
    assert error.max() <= min(0.5 / source, 1 / 25) + 1e-5
    assert error.min() >= -max(0.5 / source, 1 / source - 1 / 25) - 1e-5
    assert (np.diff(shown) >= 0).all()


def test_variable_frame_rate_follows_time_stamps(tmp_path):
    times = [0.0, 0.04, 0.08, 1.0, 1.5, 1.51, 1.52, 2.0]  # a long hold, a burst
    path = encode_video(tmp_path / "vfr.mkv", (number_frame(i) for i in range(len(times))), times=times)
    shown = [read_number(frame) for frame in read_frames(path, fps=25.0)]
    assert shown[:3] == [0, 1, 2]
    assert shown[20] == 2  # 0.8 s: still held, the next picture comes at 1.0
    assert shown[30] == 3 and shown[45] == 6 and shown[50] == 7


def test_frames_are_not_kept():
    class Frame:
        pass

    alive: weakref.WeakSet = weakref.WeakSet()
    most = 0

    def source():
        nonlocal most
        for i in range(200):
            frame = Frame()
            alive.add(frame)
            gc.collect(0)
            most = max(most, len(alive))
            yield i / 30, 1 / 30, frame

    assert sum(1 for _ in _resample(source(), 25.0)) == 167
    assert most <= 4


def decoded_frames() -> list[av.VideoFrame]:
    return [thing for thing in gc.get_objects() if type(thing) is av.VideoFrame]


def test_no_decoded_frame_waits_for_the_garbage_collector(tmp_path):
    path = encode_video(tmp_path / "turned.mp4", (number_frame(i) for i in range(30)))
    turn(path, 0, 1, -1, 0)
    gc.collect()
    gc.disable()
    try:
        held = decoded_frames()  # by what else runs in this process
        assert sum(1 for _ in read_frames(path)) == 30
        assert not [frame for frame in decoded_frames() if not any(frame is other for other in held)]
    finally:
        gc.enable()


def test_every_source_frame_without_a_rate(tmp_path):
    path = encode_video(tmp_path / "all.mp4", (number_frame(i) for i in range(30)), rate=30)
    assert [read_number(frame) for frame in read_frames(path, fps=None)] == list(range(30))
    assert [read_number(frame) for frame in read_frames(path, fps=None, start=0.5, seconds=0.1)] == [15, 16, 17]


@pytest.mark.parametrize("start", [0.04, 1.0, 1.52, 3.96])
def test_start_and_length_agree_with_the_whole(tmp_path, start):
    path = encode_video(tmp_path / "seek.mp4", (number_frame(i) for i in range(100)))
    part = [read_number(frame) for frame in read_frames(path, start=start, seconds=0.4)]
    first = round(start * 25)
    assert part == list(range(first, min(100, first + 10)))


def test_start_in_a_file_without_an_index(tmp_path):
    path = encode_video(tmp_path / "raw.h264", (number_frame(i) for i in range(50)))
    assert next(read_number(frame) for frame in read_frames(path, start=1.0)) == 25


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),  # a phone held upright: a quarter turn clockwise
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((-1, 0, 0, 1), np.fliplr),  # a front camera's mirror
        ((1, 0, 0, 1), lambda image: image),
    ],
)
def test_display_matrix(tmp_path, matrix, expected):
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :24] = 255
    picture[:16, 24:] = 120
    path = turn(encode_video(tmp_path / "turned.mp4", [picture] * 3), *matrix)
    frame = next(read_frames(path))
    truth = expected(picture)
    assert frame.shape == truth.shape
    assert np.abs(frame.astype(int) - truth)[4:-4, 4:-4].mean() < 4
    info = probe(path)
    assert (info.height, info.width) == truth.shape[:2]
    with av.open(str(path)) as container:  # FFmpeg's own reading of the matrix: counterclockwise degrees
        degrees = next(container.decode(video=0)).rotation
    if matrix == (0, 1, -1, 0):
        assert degrees == -90


def test_anamorphic_pixels_become_square(tmp_path):
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(number_frame(5), format="rgb24")))
        container.mux(stream.encode(None))
    assert next(read_frames(path)).shape == (32, 48, 3)
    assert probe(path).width == 48


def test_probe_tells_size_rate_length_and_sound(tmp_path):
    path = encode_video(tmp_path / "plain.mp4", (number_frame(i) for i in range(60)), rate=30)
    info = probe(path)
    assert (info.width, info.height, info.has_audio) == (SIDE, SIDE, False)
    assert info.fps == pytest.approx(30) and info.seconds == pytest.approx(2.0)
    assert read_audio_or_none(path) is None


def write(path, frames, size=(SIDE, SIDE), **options):
    with VideoWriter(path, *size, **options) as writer:
        for index in range(frames):
            writer.write(np.full((size[1], size[0], 3), (index * 3 % 256, 200, 30), np.uint8))
    return path


@pytest.mark.parametrize("sound_seconds", [0.0, 0.5, 2.04, 7.0])
def test_written_sound_is_as_long_as_the_pictures(tmp_path, sound_seconds):
    tone = 0.3 * np.sin(np.arange(round(sound_seconds * 16000)) * 0.2).astype(np.float32)
    path = write(tmp_path / "film.mp4", 51, audio=tone)
    sound = read_audio(path)
    assert abs(len(sound) / 16000 - 51 / 25) <= 1e-3
    heard = min(len(tone), len(sound))
    if heard:
        assert np.corrcoef(sound[:heard], tone[:heard])[0, 1] > 0.999
    assert np.abs(sound[heard + 2000 :]).max(initial=0) < 1e-3
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert video.codec_context.pix_fmt == "yuv420p"
        assert video.start_time == 0 and audio.start_time == 0
        assert abs(video.duration * video.time_base - audio.duration * audio.time_base) <= 1 / 25
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_sound_and_pictures_are_interleaved(tmp_path):
    path = write(tmp_path / "long.mp4", 500, audio=np.zeros(20 * 16000, np.float32))
    with av.open(str(path)) as container:
        seen = {"video": 0.0, "audio": 0.0}
        for packet in container.demux():
            if packet.size:
                seen[packet.stream.type] = float(packet.dts * packet.time_base)
                assert abs(seen["video"] - seen["audio"]) < 1.5


@pytest.mark.parametrize("size", [(33, 31), (64, 48)])
def test_colours_and_odd_sizes_survive(tmp_path, size):
    path = write(tmp_path / "odd.mp4", 3, size=size, crf=10)
    frame = next(read_frames(path))
    assert frame.shape == (size[1] + size[1] % 2, size[0] + size[0] % 2, 3)
    assert np.abs(frame.astype(int) - (0, 200, 30)).max() <= 4


@pytest.mark.parametrize("fps", [24.0, 29.97, 30000 / 1001, 60.0])
def test_writer_keeps_other_rates(tmp_path, fps):
    path = write(tmp_path / "rate.mp4", 90, fps=fps, audio=np.zeros(16000, np.float32))
    info = probe(path)
    assert info.fps == pytest.approx(fps, rel=1e-4)
    assert len(read_audio(path)) / 16000 == pytest.approx(90 / fps, abs=2e-3)


def test_a_failed_film_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "film.mp4", SIDE, SIDE) as writer:
        writer.write(number_frame(0))
        assert not (tmp_path / "film.mp4").exists()
        raise RuntimeError("stopped")
    with pytest.raises(ValueError, match="no frame"), VideoWriter(tmp_path / "film.mp4", SIDE, SIDE):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_old_film_survives_a_failed_one(tmp_path):
    path = write(tmp_path / "film.mp4", 2)
    before = path.read_bytes()
    with pytest.raises(RuntimeError), VideoWriter(path, SIDE, SIDE):
        raise RuntimeError("stopped")
    assert path.read_bytes() == before


def test_wrong_names_sizes_and_folders(tmp_path):
    with pytest.raises(InputError, match="suffix"):
        VideoWriter(tmp_path / "film.avi", SIDE, SIDE)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="folder"):
        VideoWriter(tmp_path / "file" / "film.mp4", SIDE, SIDE)
    with VideoWriter(tmp_path / "film.mp4", SIDE, SIDE) as writer:
        writer.write(number_frame(0))
        with pytest.raises(ValueError, match="must be"):
            writer.write(np.zeros((8, 8, 3), np.uint8))


def damaged_files(tmp_path):
    good = encode_video(tmp_path / "good.mp4", (number_frame(i * 7919 % 65536) for i in range(100)))
    front = write(tmp_path / "front.mp4", 100)  # index in front: opens although its end is missing
    files = {
        "missing": tmp_path / "missing.mp4",
        "folder": tmp_path,
        "empty": tmp_path / "empty.mp4",
        "text": tmp_path / "text.txt",
        "text as mp4": tmp_path / "text.mp4",
        "cut": tmp_path / "cut.mp4",
        "cut, index in front": tmp_path / "cut_front.mp4",
        "cut matroska": tmp_path / "cut.mkv",
    }
    for suffix in ("png", "jpg", "webp"):
        files[suffix] = tmp_path / f"picture.{suffix}"
        Image.fromarray(number_frame(3)).save(files[suffix])
    files["empty"].touch()
    for key in ("text", "text as mp4"):
        files[key].write_text("A portrait, a recording and a head motion.\n" * 50)
    files["cut"].write_bytes(good.read_bytes()[: good.stat().st_size * 2 // 3])
    files["cut, index in front"].write_bytes(front.read_bytes()[: front.stat().st_size - 200])
    mkv = encode_video(tmp_path / "good.mkv", (number_frame(i * 7919 % 65536) for i in range(100)))
    files["cut matroska"].write_bytes(mkv.read_bytes()[: mkv.stat().st_size // 2])
    return files


def test_damaged_files_say_which_and_what_to_do(tmp_path):
    for case, path in damaged_files(tmp_path).items():
        with pytest.raises(InputError) as caught:
            list(read_frames(path))
        message = str(caught.value)
        assert str(path) in message and ";" in message and "\n" not in message, case


def test_a_codec_that_nobody_knows_is_told(tmp_path):
    path = encode_video(tmp_path / "strange.mp4", (number_frame(i) for i in range(3)))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    for read in (probe, lambda path: list(read_frames(path))):
        with pytest.raises(InputError, match=r"strange\.mp4: its video has a codec that FFmpeg does not know; convert"):
            read(path)
    assert first_frame_time(path) is None
    sound = tmp_path / "strange.wav"
    data = encode_sound(sound, np.zeros((1, 800)), 16000).read_bytes()
    place = data.index(b"fmt ") + 8  # of the number of the codec
    sound.write_bytes(data[:place] + b"zz" + data[place + 2 :])
    with pytest.raises(InputError, match=r"strange\.wav: its audio has a codec that FFmpeg does not know; convert"):
        read_audio(sound)


def test_frames_that_grow_beyond_measure_are_refused(tmp_path):
    path, picture = tmp_path / "grows.mjpeg", BytesIO()
    for size in ((64, 64), (64, 64), (60000, 8)):
        Image.new("RGB", size).save(picture, "JPEG")
    path.write_bytes(picture.getvalue())
    assert probe(path).width == 64
    for fps in (25.0, None):
        with pytest.raises(InputError, match=r"grows\.mjpeg: 60000 x 8 pixels; make it smaller"):
            list(read_frames(path, fps=fps))


def test_start_behind_the_end_and_sound_without_pictures(tmp_path):
    path = encode_clip(tmp_path / "clip.mkv", 0.0, 0.0, tone_at=0.5, seconds=1.0)
    with pytest.raises(InputError, match="ends before"):
        list(read_frames(path, start=3.0))
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        container.mux(stream.encode(None))
    with pytest.raises(InputError):
        list(read_frames(sound))


def test_a_real_clip(shared):
    path = shared / "data/clips/ravdess_actor01/av-01-08-02-01-01-01.mp4"
    info = probe(path)
    frames = sum(1 for _ in read_frames(path))
    assert info.has_audio and frames == round(info.seconds * 25)
    assert abs(len(read_audio(path)) / 16000 - info.seconds) < 0.2


def test_a_real_truncated_clip(shared):
    with pytest.raises(InputError, match="truncated"):
        list(read_frames(shared / "data/clips/mead_eamm/sad.mp4"))
