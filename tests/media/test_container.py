"""What is opened: every ordinary kind of file, and no list of other files."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from make_media import encode_sound, encode_video, number_frame, read_number
from PIL import Image

from svp.media.audio import read_audio
from svp.media.video import read_frames

VIDEOS = {
    "libx264": ("mp4", "mov", "mkv", "ts", "flv", "h264"),
    "mpeg4": ("avi", "3gp", "asf", "m4v"),
    "mpeg2video": ("mpg", "m2v", "mxf"),
    "libvpx": ("webm",),
    "ffv1": ("nut",),
}
SOUNDS = {
    "pcm_s16le": ("wav", "w64", "caf", "mka"),
    "pcm_s16be": ("aiff", "au"),
    "aac": ("aac", "m4a"),
    "libmp3lame": ("mp3",),
    "libopus": ("ogg",),
}


@pytest.mark.parametrize(("codec", "suffix"), [(codec, suffix) for codec in VIDEOS for suffix in VIDEOS[codec]])
def test_ordinary_videos_are_opened(tmp_path, codec, suffix):
    frames = [np.kron(number_frame(n), np.ones((4, 4, 1), np.uint8)) for n in range(5)]
    path = encode_video(tmp_path / f"clip.{suffix}", frames, codec=codec)
    assert [read_number(frame[1::4, 1::4]) for frame in read_frames(path, fps=None)][:4] == [0, 1, 2, 3]


@pytest.mark.parametrize(("codec", "suffix"), [(codec, suffix) for codec in SOUNDS for suffix in SOUNDS[codec]])
def test_ordinary_sounds_are_opened(tmp_path, codec, suffix):
    tone = 0.4 * np.sin(np.arange(48000) * 0.06)
    sound = read_audio(encode_sound(tmp_path / f"tone.{suffix}", tone[None], 48000, codec=codec))
    assert abs(len(sound) / 16000 - 1) < 0.1 and np.abs(sound[2000:-2000]).max() == pytest.approx(0.4, abs=0.03)


LISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n",
    "list.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n",
    "list.wav": "ffconcat version 1.0\nfile other.ts\n",
    "list.mpd": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="audio/mp4"><Representation id="0" '
    'bandwidth="9"><BaseURL>other.ts</BaseURL></Representation></AdaptationSet></Period></MPD>\n',
    "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
}


def refusal(path: Path, pipe: Path) -> str:
    """Why a file is refused, next to a pipe that nobody writes to: whoever opens that waits for ever."""
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(read_audio, path)
        try:
            return str(answer.exception(30))
        finally:
            os.close(os.open(pipe, os.O_RDWR))  # whoever waits there goes on


@pytest.mark.parametrize("name", LISTS)
def test_no_list_of_other_files_is_followed(tmp_path, name):
    (tmp_path / name).write_text(LISTS[name])
    assert f"{name}: not a " in refusal(tmp_path / name, tmp_path / "other.ts")


def test_a_number_sign_in_a_name_means_itself(tmp_path):
    Image.fromarray(number_frame(3)).save(tmp_path / "picture%d.jpg")
    assert "picture%d.jpg: has no sound" in refusal(tmp_path / "picture%d.jpg", tmp_path / "picture1.jpg")
