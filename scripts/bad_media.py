"""Pictures, sounds and videos that go wrong, or look as if they would; written into the current folder."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from bad_case import Case, error, extract, generate, works
from svp.datasets.corpus import load_puppet
from svp.face.model import FaceModel

ADA = Path(__file__).resolve().parents[1] / "samples" / "portraits" / "ada.png"
RATE = 16000
LONG = "ä" * 120  # 240 bytes; a name has 255 at most


def turned(degrees: float) -> Image.Image:
    """A head that is turned to its side; what a portrait does not show of it is missing."""
    puppet = load_puppet(ADA.with_name("edgar.png"), 256)
    neutral, rotation = np.zeros(len(FaceModel.load().unit_names)), cv2.Rodrigues(np.radians([0.0, degrees, 0.0]))[0]
    return Image.fromarray(puppet.render(neutral, rotation, np.zeros(2), np.zeros(2)))


def pictures() -> Iterator[Case]:
    """As portraits."""
    ada = Image.open(ADA).convert("RGB").resize((256, 256))
    ada.save("good.png")
    data = Path("good.png").read_bytes()
    for name, content, word in (
        ("empty.png", b"", "the file is empty"),
        ("cut.png", data[: len(data) // 2], "damaged or truncated"),
        ("text.png", b"no picture\n" * 99, "not a picture"),
        ("postscript.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n", "not a picture"),
    ):
        Path(name).write_bytes(content)
        yield error(name, word, *generate(portrait=name))
    ada.save("cut.jpg")
    Path("cut.jpg").write_bytes(Path("cut.jpg").read_bytes()[:3000])
    yield error("cut.jpg", "damaged or truncated", *generate(portrait="cut.jpg"))
    for name, options, before in (("torn.tif", {"compression": "tiff_lzw"}, b"II*"), ("torn.avif", {}, b"mdat")):
        ada.save(name, **options)
        torn = bytearray(Path(name).read_bytes())
        place = torn.index(before) + 9
        torn[place : place + 400] = bytes(400)
        Path(name).write_bytes(torn)
        yield error(name, "damaged or truncated", *generate(portrait=name))
    yield error("clip as portrait", "not a picture", *generate(portrait="good.mp4"))
    for name, size, word in (
        ("bomb.png", (30000, 30000), "make it smaller"),
        ("huge.png", (12000, 12000), "12000 x 12000 pixels"),
        ("line.png", (60000, 2), "60000 x 2 pixels"),
        ("strip.png", (9000, 3), "no face found"),
        ("dot.png", (1, 1), "no face found"),
        ("limit.png", (8000, 8000), "no face found"),
    ):
        write_blank_png(Path(name), *size)
        yield error(name, word, *generate(portrait=name))
    Image.new("RGB", (300, 200), (90, 120, 60)).save("wall.png")
    yield error("no face", "no face found", *generate(portrait="wall.png"))
    for name, degrees in (("turned.png", 50), ("profile.png", 86)):
        turned(degrees).save(name)
    yield works("turned.png", *generate(portrait="turned.png"))
    yield error("profile", "no face found", *generate(portrait="profile.png"))
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "a" * 100_000_000, zip=True)
    ada.save("text_bomb.png", pnginfo=text)
    yield error("text_bomb.png", "damaged or truncated", *generate(portrait="text_bomb.png"))
    two = Image.new("RGB", (512, 256))
    two.paste(ada, (0, 0)), two.paste(ImageOps.mirror(ada), (256, 0))
    two.save("two.png")
    frames = [ada, ImageOps.mirror(ada)]
    ada.save("animated.gif", save_all=True, append_images=frames[1:], duration=40)
    ada.convert("CMYK").save("cmyk.jpg")
    Image.fromarray(np.asarray(ada.convert("L")).astype(np.uint16) * 257).save("grey16.png")
    Image.fromarray(np.asarray(ada.convert("L")).astype(np.float32)).save("float.tif")
    ada.convert("P").save("palette.png", transparency=3)
    ada.resize((255, 257)).save("odd.png")
    ada.crop((60, 0, 256, 256)).save("border.png")
    ada.save("profile_broken.png", icc_profile=b"no profile")
    ada.save("named.png", format="JPEG")
    ada.save("ада 😀 ' $(x) -.png")
    ada.save(f"{LONG}.png")
    for name in ("two.png", "animated.gif", "cmyk.jpg", "grey16.png", "float.tif", "palette.png", "odd.png"):
        yield works(name, *generate(portrait=name))
    for name in ("border.png", "profile_broken.png", "named.png", "ада 😀 ' $(x) -.png", f"{LONG}.png"):
        yield works(name, *generate(portrait=name))
    yield error("name beyond the longest", "File name too long", *generate(portrait=f"{LONG}{LONG}.png"))
    yield error("folder as portrait", "is a folder", *generate(portrait="out"))
    yield error("no such portrait", "no such file", *generate(portrait="../out/../missing.png"))
    Path("secret.png").write_bytes(data)
    Path("secret.png").chmod(0)
    yield error("unreadable portrait", "not readable", *generate(portrait="secret.png"), without="power")
    for name, box, word in (
        ("box beyond the picture", "10,10,400,400", "reaches out of the picture"),
        ("box of words", "left,top,8,9", "give X,Y,W,H"),
        ("box that is no number", "nan,0,80,80", "not finite"),
    ):
        yield error(name, word, *generate("--face-box", box))


def write_blank_png(path: Path, width: int, height: int) -> None:
    """A black picture of one bit a pixel, written without holding it."""
    row, deflate = bytes(1 + (width + 7) // 8), zlib.compressobj(1)
    data = b"".join(deflate.compress(row * min(1000, height - k)) for k in range(0, height, 1000)) + deflate.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def sounds() -> Iterator[Case]:
    """As recordings."""
    tone = 0.3 * np.sin(np.arange(RATE // 5) * 0.1)
    wav = riff((tone * 32767).astype("<i2").tobytes())
    whole = np.round(tone * 2**23).astype("<i4")
    Path("good.wav").write_bytes(wav)
    for name, content, word in (
        ("empty.wav", b"", "the file is empty"),
        ("cut.wav", riff(bytes(40000))[:20000], "truncated"),
        ("head.wav", riff(b""), "empty or broken"),
        ("text.wav", b"no sound\n" * 99, "not a readable media file"),
        ("rate0.wav", riff(bytes(3200), rate=0), "not a readable media file"),
        ("codec.wav", riff(bytes(3200), kind=0x7A7A), "codec that FFmpeg does not know"),
        ("channels17.wav", riff(bytes(3400), channels=17), "17 channels cannot be mixed"),
        ("nan.wav", riff(np.where(np.arange(len(tone)) == 99, np.nan, tone).astype("<f4").tobytes(), 32, 3), "no numb"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ngood.wav\n#EXT-X-ENDLIST\n", "list.m3u8"),
        ("list.wav", b"ffconcat version 1.0\nfile good.wav\n", "list of other files"),
    ):
        Path(name).write_bytes(content)
        yield error(name, word, *generate(audio=name))
    for name, content in (
        ("u8.wav", riff(((tone + 1) * 127).astype(np.uint8).tobytes(), 8)),
        ("s24.wav", riff(whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes(), 24)),
        ("f32.wav", riff(tone.astype("<f4").tobytes(), 32, 3)),
        ("loud.wav", riff((tone * 1e30).astype("<f4").tobytes(), 32, 3)),
        ("silence.wav", riff(bytes(6400))),
        ("clipping.wav", riff((np.sign(tone) * 32767).astype("<i2").tobytes())),
        ("sample.wav", riff(bytes(2))),
        ("rate8000.wav", riff(wav[44:], rate=8000)),
        ("surround.wav", riff(bytes(3200 * 6), channels=6)),
        ("named.mp3", wav),
    ):
        Path(name).write_bytes(content)
        yield works(name, *generate(audio=name))
    with av.open("leap.mka", "w") as file:
        stream = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for hours in (0, 10):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, hours * 3600 * RATE, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    yield error("leap.mka", "leap by hours", *generate(audio="leap.mka"))
    yield error("picture as recording", "has no sound", *generate(audio="good.png"))
    yield error("silent film as recording", "has no sound", *generate(audio="one.mp4"))


def riff(data: bytes, bits: int = 16, kind: int = 1, rate: int = RATE, channels: int = 1) -> bytes:
    """A WAV file of samples; kind 1 is whole numbers, 3 is floats."""
    frame = channels * bits // 8
    head = struct.pack("<IHHIIHH", 16, kind, channels, rate, rate * frame, frame, bits)
    body = b"WAVEfmt " + head + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def videos() -> Iterator[Case]:
    """As clips to learn a style from, and as head motion."""
    ada = np.asarray(Image.open("good.png"))
    still = [np.roll(ada, k, axis=1) for k in range(6)]
    film("good.mp4", still)
    data = Path("good.mp4").read_bytes()
    for name, content, word in (
        ("empty.mp4", b"", "the file is empty"),
        ("cut.mp4", data[: len(data) // 2], "copy it again"),
        ("text.mp4", b"no film\n" * 99, "media file"),
        ("codec.mp4", data.replace(b"avc1", b"zzzz"), "codec that FFmpeg does not know"),
    ):
        Path(name).write_bytes(content)
        yield error(name, word, *extract(name))
        yield error(f"{name} as head motion", word, *generate("--head-motion", name))
    film("wall.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 5)
    film("large.mov", [np.zeros((12000, 12000), np.uint8)], codec="png", pix_fmt="gray")
    Image.new("RGB", (64, 64)).save("dark.jpg")
    Image.new("RGB", (60000, 8)).save("row.jpg")
    Path("grows.mjpeg").write_bytes(Path("dark.jpg").read_bytes() * 3 + Path("row.jpg").read_bytes())
    wide = bytearray(Path("dark.jpg").read_bytes())
    place = wide.index(b"JFIF\0") + 7  # of the shape of a pixel
    wide[place : place + 5] = struct.pack(">BHH", 0, 60000, 1)
    Path("anamorphic.mjpeg").write_bytes(wide * 3)
    film("leap.mkv", still[:3], times=(0, 40, 36_000_000))
    for name, word in (
        ("wall.mp4", "a face is found in 0 of 5"),
        ("large.mov", "12000 x 12000 pixels"),
        ("anamorphic.mjpeg", "make it smaller"),
        ("grows.mjpeg", "60000 x 8 pixels"),
        ("leap.mkv", "leap by hours"),
        ("good.png", "is a still picture"),
        ("good.wav", "has no picture"),
    ):
        yield error(f"{name} as clip", word, *extract(name))
    film("one.mp4", still[:1])
    film("hdr.mp4", still, pix_fmt="yuv420p10le", hdr=True)
    film("fps240.mp4", still * 4, rate=240)
    film("negative.mkv", still, times=range(-480, -240, 40))
    film("odd.mkv", [frame[:255, :253] for frame in still], codec="ffv1", pix_fmt="bgr0")
    film("fps0.avi", still, codec="mpeg4")
    held = bytearray(Path("fps0.avi").read_bytes())
    at = held.index(b"strh") + 8 + 20  # scale and rate of the stream
    held[at : at + 8] = struct.pack("<II", 1, 0)
    held[held.index(b"avih") + 8 :][:4] = bytes(4)
    Path("fps0.avi").write_bytes(held)
    scratched = bytearray(data)
    place = data.index(b"mdat") + len(data) // 3
    scratched[place : place + 400] = bytes(range(256)) + bytes(144)
    Path("scratched.mp4").write_bytes(scratched)
    clips = ("one.mp4", "hdr.mp4", "fps240.mp4", "negative.mkv", "odd.mkv", "fps0.avi", "scratched.mp4")
    for name in (*clips, "animated.gif"):
        yield works(f"{name} as clip", *extract(name))
    yield works("one picture as head motion", *generate("--head-motion", "one.mp4"))


def film(
    name: str,
    frames: Iterable[np.ndarray],
    rate: int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    hdr: bool = False,
) -> None:
    """A video without sound; times are in milliseconds."""
    with av.open(name, "w", options={"avoid_negative_ts": "disabled"}) as file:
        stream = file.add_stream(codec, rate=rate, options={"preset": "ultrafast"})
        stream.pix_fmt = pix_fmt
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k, frame in enumerate(frames):
            if k == 0:
                stream.height, stream.width = frame.shape[:2]
            if hdr and k == 0:
                stream.codec_context.color_trc, stream.codec_context.color_primaries = 16, 9  # PQ, BT.2020
            picture = av.VideoFrame.from_ndarray(frame, "gray" if frame.ndim == 2 else "rgb24").reformat(format=pix_fmt)
            picture.pts, picture.time_base = (k, Fraction(1, rate)) if times is None else (times[k], Fraction(1, 1000))
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
