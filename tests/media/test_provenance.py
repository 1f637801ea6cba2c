"""Signed videos: what is told apart, whose signature it is, and that nothing unsigned takes the final name."""

import base64
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from command import svp
from svp.cli.verify import print_verification
from svp.errors import InputError
from svp.media import provenance
from svp.media.certificate import Certificate, find_certificate, local_certificate, make_certificate
from svp.media.marking import Marking
from svp.media.verification import Verification, judge, verify_video
from svp.media.video import VideoWriter, read_frames

FACTS = {"model": {"name": "tiny", "weights_sha256": "ab" * 32}, "settings": {"seed": 3, "guidance_style": 1.5}}


def write(path: Path, marking: Marking, size: int = 64) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (6, size, size, 3), dtype=np.uint8)
    sound = np.sin(np.arange(4000) / 9).astype(np.float32) / 3
    with VideoWriter(path, size, size, audio=sound, finish=lambda file: marking.sign(file, FACTS)) as writer:
        for frame in marking.drawn(noise, size, size):
            writer.write(frame)
    return path


def frames(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(path)))


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("videos") / "unsigned.mp4", Marking(provenance=False))


@pytest.fixture(scope="module")
def signed(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("videos") / "signed.mp4", Marking())


@pytest.fixture(scope="module")
def ada(tmp_path_factory) -> tuple[Certificate, Path]:
    """Somebody's own certificate, and the authority that vouches for it."""
    folder = tmp_path_factory.mktemp("ada")
    chain, key = make_certificate("Ada Lovelace", "Analytical Engines")
    (folder / "chain.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(key)
    start = b"-----BEGIN CERTIFICATE-----"
    (folder / "authority.pem").write_bytes(start + chain.split(start)[-1])
    return Certificate(folder / "chain.pem", folder / "key.pem"), folder / "authority.pem"


def altered(source: Path, target: Path, mark: bytes, skip: int) -> Path:
    data = bytearray(source.read_bytes())
    data[data.index(mark) + skip] ^= 1
    target.write_bytes(data)
    return target


def test_a_signed_video_plays_as_before_and_says_what_it_is(signed, unsigned):
    assert np.array_equal(frames(signed), frames(unsigned))
    found = verify_video(signed)
    assert (found.state, found.local, found.trusted, found.generated) == ("valid", True, False, True)
    assert "unverified" in found.signer and found.software.startswith("svp ") and found.when.startswith("20")
    assert found.facts == FACTS
    data = signed.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is loaded


@pytest.mark.parametrize(("mark", "skip"), [(b"mdat", 300), (b"tkhd", 20), (b"ab" * 32, 1), (b"svp.generation", 3)])
def test_one_changed_bit_is_told(signed, tmp_path, mark, skip):
    found = verify_video(altered(signed, tmp_path / "altered.mp4", mark, skip))
    assert found.state == "altered" and found.problems


@settings(derandomize=True, max_examples=300, deadline=None, database=None)
@given(st.integers(0, 5999), st.integers(0, 7))
def test_whatever_bit_is_changed_there_is_an_answer(signed, place, bit):
    data = bytearray(signed.read_bytes())
    plays = data.index(b"moov") - 4
    data[place] ^= 1 << bit
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(data), file.flush()
        found = verify_video(Path(file.name))
    assert found.state == "altered" or (place < plays and found.state in ("valid", "unsigned"))


def test_a_manifest_of_which_nothing_can_be_shown_is_altered(signed, tmp_path):
    found = verify_video(altered(signed, tmp_path / "altered.mp4", b"self#jumbf=c2pa.assertions", 15))
    assert found.state == "altered" and "claim.missing" in found.problems


def test_a_signed_file_that_is_cut_or_goes_on_is_altered(signed, tmp_path):
    data, cut = signed.read_bytes(), tmp_path / "cut.mp4"
    for content in (data[:400], data[:4000], data[: len(data) - 1], data + b"more", b"\1" + data[1:]):
        cut.write_bytes(content)
        assert verify_video(cut).state == "altered"


def test_what_plays_no_part_is_not_in_the_hash(signed, tmp_path):
    """As docs/provenance.md says."""
    for kind, state in ((b"free", "valid"), (b"skip", "valid"), (b"udta", "altered"), (b"uuid", "altered")):
        (tmp_path / "more.mp4").write_bytes(signed.read_bytes() + b"\0\0\0\x20" + kind + bytes(24))
        assert verify_video(tmp_path / "more.mp4").state == state
    assert verify_video(altered(signed, tmp_path / "typed.mp4", b"ftyp", 8)).state == "valid"


def test_a_video_whose_manifest_was_stripped_or_moved_to_another_is_told(signed, unsigned, tmp_path):
    assert verify_video(unsigned).state == "unsigned"
    other = write(tmp_path / "other.mp4", Marking(), size=32).read_bytes()
    data = signed.read_bytes()
    body, theirs = data[data.index(b"moov") - 4 :], other[: other.index(b"moov") - 4]
    (tmp_path / "moved.mp4").write_bytes(theirs + body)
    assert verify_video(tmp_path / "moved.mp4").state == "altered"


def test_somebodys_own_certificate_and_an_authority(ada, tmp_path):
    certificate, authority = ada
    certificate.check()
    video = write(tmp_path / "ada.mp4", Marking(certificate=certificate))
    found = verify_video(video)
    assert (found.state, found.signer, found.issuer) == ("valid", "Ada Lovelace", "Analytical Engines")
    assert not found.local and not found.trusted
    assert verify_video(video, authority).trusted
    another, _ = make_certificate("Mallory", "Nobody")
    (tmp_path / "another.pem").write_bytes(another)
    assert verify_video(video, tmp_path / "another.pem").state == "untrusted"


def test_the_command_tells_them_apart_by_its_exit_code(ada, signed, unsigned, tmp_path):
    bad = altered(signed, tmp_path / "altered.mp4", b"mdat", 300)
    plain = svp("verify", signed)
    assert plain.returncode == 0 and "valid" in plain.stdout and "ab" * 32 in plain.stdout and "tiny" in plain.stdout
    assert svp("verify", bad).returncode == 1
    missing = svp("verify", unsigned)
    assert missing.returncode == 3 and "unsigned" in missing.stdout and not missing.stderr
    told = svp("verify", signed, "--trust", ada[1], "--json")
    assert told.returncode == 4 and '"untrusted"' in told.stdout


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"model": {"foo": 1}}, "foo 1"),
        ({"model": 5, "label": ["a", "b"]}, "['a', 'b']"),
        ({"model": {"name": 5, "weights_sha256": None, "weights": [{"title": []}]}}, "name 5"),
        ({"styles": ["x"]}, "['x']"),
        ({"styles": [{"name": "sad", "source_sha256": ""}]}, "sad"),
        ({"styles": [{"name": "sad", "seconds": "soon", "source_sha256": ""}]}, "soon"),
        ({"inputs": [1.5, "x"]}, "[1.5, 'x']"),
        ({"inputs": {"audio": "loud"}}, "audio loud"),
        ({"settings": "none", "[/red]": "of another version"}, "of another version"),
        ({"label": "a\x1b[2Jb\u202ec\x07"}, "a[2Jbc"),
    ],
)
def test_facts_of_any_shape_are_told_as_text(unsigned, tmp_path, facts, told):
    video = tmp_path / "strange.mp4"
    video.write_bytes(unsigned.read_bytes())
    Marking().sign(video, facts)
    for arguments in ((), ("--json",)):
        said = svp("verify", video, *arguments)
        assert said.returncode == 0 and not said.stderr
        assert all(line.isprintable() for line in said.stdout.splitlines())
        assert arguments or told in said.stdout


def test_names_of_signers_and_files_cannot_command_the_terminal(capsys):
    found = Verification("valid", signer="Ada\x1b]0;x\x07", issuer="A\nB", software="s\x9b2J", facts={"facts": [1]})
    print_verification(Path("a\x1b[1m.mp4"), found)
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines) and "signed by" in lines[1] and "Ada]0;x (AB)" in lines[1]


@pytest.mark.parametrize("content", [b"", b"hello " * 40, b"\0\0\0\x18ftypisom" + bytes(40)])
def test_what_is_no_video_is_one_line(tmp_path, content):
    (tmp_path / "bad.mp4").write_bytes(content)
    try:
        found = verify_video(tmp_path / "bad.mp4")
        assert found.state == "unsigned" and content.startswith(b"\0\0\0\x18ftyp")
    except InputError as error:
        assert "bad.mp4" in str(error) and "\n" not in str(error)


def test_what_cannot_sign_is_told_before_a_video_is_made(ada, tmp_path, monkeypatch):
    certificate, _ = ada
    _, other_key = make_certificate("Somebody", "Else")
    (tmp_path / "other.pem").write_bytes(other_key)
    key = serialization.load_pem_private_key(certificate.key.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "locked.pem").write_bytes(locked)
    (tmp_path / "text.pem").write_text("no certificate")
    plain = x509.load_pem_x509_certificate(certificate.chain.read_bytes()).public_bytes(serialization.Encoding.DER)
    curve = bytes.fromhex("06082a8648ce3d0301")  # of P-256, but for its last byte
    strange = base64.encodebytes(plain.replace(curve + b"\x07", curve + b"\x63")).decode()
    (tmp_path / "strange.pem").write_text(f"-----BEGIN CERTIFICATE-----\n{strange}-----END CERTIFICATE-----\n")
    for chain, private, message in (
        (certificate.chain, tmp_path / "other.pem", "is not the key"),
        (certificate.chain, tmp_path / "locked.pem", "has a password"),
        (certificate.chain, tmp_path / "text.pem", "no private key"),
        (tmp_path / "text.pem", certificate.key, "no certificates"),
        (tmp_path / "strange.pem", certificate.key, "no certificates in PEM of a known kind"),
        (tmp_path / "nosuch.pem", certificate.key, "nosuch.pem"),
    ):
        with pytest.raises(InputError, match=message):
            Certificate(chain, private).check()
    monkeypatch.setenv("SVP_CERTIFICATE", str(certificate.chain))
    with pytest.raises(InputError, match=r"\$SVP_KEY"):
        find_certificate()
    monkeypatch.setenv("SVP_KEY", str(certificate.key))
    assert find_certificate() == certificate
    with pytest.raises(InputError, match="--certificate"):
        find_certificate(key=certificate.key)


def test_the_command_names_the_way_without(ada, tmp_path, monkeypatch):
    root = Path(__file__).resolve().parents[2] / "samples"
    inputs = ("--portrait", root / "portraits" / "ada.png", "--audio", root / "speech" / "face.wav")
    signing = ("--certificate", ada[0].chain, "--key", tmp_path / "nosuch.pem")
    made = svp("generate", *inputs, *signing, "-o", tmp_path / "out.mp4")
    assert made.returncode == 2 and "--no-provenance" in made.stderr and len(made.stderr.splitlines()) == 1
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SVP_DATA", str(tmp_path / "file"))
    made = svp("generate", *inputs, "-o", tmp_path / "out.mp4")
    assert made.returncode == 2 and "SVP_DATA" in made.stderr and len(made.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("out*"))


def test_the_final_name_is_taken_only_when_signed(tmp_path, monkeypatch):
    path, seen = tmp_path / "video.mp4", []
    sign = provenance.sign

    def watched(*arguments: object) -> None:
        seen.append(path.exists())
        sign(*arguments)

    monkeypatch.setattr(provenance, "sign", watched)
    write(path, Marking())
    assert seen == [False] and verify_video(path).state == "valid"

    def broken(*arguments: object) -> None:
        raise InputError("no signature today")

    monkeypatch.setattr(provenance, "sign", broken)
    with pytest.raises(InputError, match="today"):
        write(tmp_path / "other.mp4", Marking())
    assert [file.name for file in tmp_path.iterdir()] == ["video.mp4"]


def test_the_local_certificate_is_made_once_and_is_private(tmp_path, monkeypatch):
    monkeypatch.setenv("SVP_DATA", str(tmp_path / "new" / "data"))
    with ThreadPoolExecutor(4) as pool:  # several workers that begin together
        found = list(pool.map(lambda _: local_certificate(), range(4)))
    own = found[0]
    assert set(found) == {own}
    content = own.chain.read_bytes()
    own.check()
    assert stat.S_IMODE(own.key.stat().st_mode) == 0o600 and stat.S_IMODE(own.key.parent.stat().st_mode) == 0o700
    assert local_certificate().chain.read_bytes() == content
    assert [entry.name for entry in own.key.parents[1].iterdir()] == ["certificate"]


def test_an_expired_certificate_is_not_called_an_alteration():
    assert judge(["signingCredential.untrusted"], asked_for_trust=False) == "valid"
    assert judge(["signingCredential.untrusted"], asked_for_trust=True) == "untrusted"
    assert judge(["signingCredential.untrusted", "signingCredential.expired"], asked_for_trust=False) == "untrusted"
    assert judge(["signingCredential.untrusted", "assertion.bmffHash.mismatch"], asked_for_trust=True) == "altered"
    assert judge(["claimSignature.mismatch"], asked_for_trust=False) == "altered"


def test_the_label_is_seen_in_every_frame_and_nowhere_else(unsigned, tmp_path):
    video = write(tmp_path / "labelled.mp4", Marking(provenance=False, label="AI-generated"), size=128)
    plain = write(tmp_path / "plain.mp4", Marking(provenance=False), size=128)
    difference = np.abs(frames(video).astype(int) - frames(plain)).mean(axis=3)
    plate, rest = difference[:, -14:, :50], difference[:, :96]
    assert plate.mean(axis=(1, 2)).min() > 40 and rest.mean(axis=(1, 2)).max() < 12
    assert (frames(video)[:, -16:, :60].min(axis=3) > 180).mean(axis=(1, 2)).min() > 0.05  # white letters
    assert verify_video(write(tmp_path / "both.mp4", Marking(label="KI"), size=128)).facts["label"] == "KI"


def test_a_label_that_cannot_be_read_is_refused(tmp_path):
    for text, message in (("生成", "no 生"), ("a" * 90, "too long"), ("  ", "no line"), ("a\nb", "no line")):
        with pytest.raises(InputError, match=message):
            write(tmp_path / "labelled.mp4", Marking(label=text))
    for text in ("", "  ", "a\nb"):
        with pytest.raises(InputError, match="no line of text"):
            Marking().labelled(True, text)
    assert Marking().labelled(True, " KI ").label == "KI" and Marking().labelled(False, None).label == ""
    assert not list(tmp_path.iterdir())
