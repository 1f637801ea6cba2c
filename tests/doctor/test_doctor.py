"""`svp doctor`: what it finds, what it says of a crippled installation, and what its bundle does not give away."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from svp.cli.doctor import check_metrics
from svp.doctor import libraries, weights
from svp.doctor.finding import Finding, examine
from svp.doctor.private import without_private
from svp.doctor.report import Report
from svp.doctor.system import examine_system
from svp.evaluation.reference_values import ReferenceCheck
from svp.media.certificate import CHAIN_VARIABLE, KEY_VARIABLE, local_certificate
from svp.media.hashing import sha256_file
from svp.weights.provenance import ImportedFile, record_imports
from svp.weights.registry import WEIGHTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}


def doctor(*arguments: object, absent: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own where some modules cannot be imported."""
    code = f"import sys; sys.modules |= dict.fromkeys({absent!r}); from svp.cli import main; main()"
    command = [sys.executable, "-c", code, "doctor", *map(str, arguments)]
    env = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=env)


def test_every_library_and_extra_of_the_project_is_known(project):
    required = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    assert set(libraries.NOT_FOR_GENERATE) < required
    assert set(project["optional-dependencies"]) - {"dev"} <= set(libraries.EXTRAS)
    for name in required:  # the name under which it is imported is right
        assert find_spec(libraries.module_of(name)) is not None


def test_versions_and_modules_are_told_apart(monkeypatch):
    assert libraries.problem_of(Requirement("numpy>=2")) == ""
    assert "svp asks for >=99" in libraries.problem_of(Requirement("numpy>=99"))
    assert libraries.problem_of(Requirement("no-such-distribution")) == "not installed"
    always, extras = [Requirement(text) for text in ("av", "numpy", "tensorboard>=99")], [Requirement("no-such")]
    monkeypatch.setattr(libraries, "requirements", lambda: (always, {"speech": extras, "dev": extras}))
    monkeypatch.setitem(sys.modules, "av", None)
    assert "does not load" in libraries.problem_of(Requirement("av"))
    found = {finding.name: finding for finding in libraries.examine_libraries()}
    assert [found[name].state for name in ("av", "numpy", "tensorboard")] == ["broken", "ok", "missing"]
    assert found["av"].remedy.startswith("pip install") and found["numpy"].remedy == ""
    assert "pip install '.[speech]'" in found["speech"].remedy and found["speech"].enables and "dev" not in found
    assert found["FFmpeg"].found.startswith("cannot be told")


def test_codecs_that_are_needed(monkeypatch):
    def found() -> dict[str, str]:
        return states(examine(libraries.FFMPEG, {"codecs": libraries._codecs}))

    assert set(found().values()) == {"ok"}
    monkeypatch.setattr(libraries, "_has_codec", lambda codec, mode: codec not in ("libx264", "av1"))
    assert found()["encoder libx264"] == "broken" and found()["decoder av1"] == "missing"


def test_the_shipped_weights_are_those_of_the_list():
    listed = weights.read_sums(weights.ASSETS / weights.SUMS)
    shipped = {path.relative_to(weights.ASSETS).as_posix(): sha256_file(path) for path in weights.shipped_files()}
    assert listed == shipped, "an asset changed; run python scripts/hash_assets.py"
    assert {name.split("/")[0] for name in listed} - {"LICENCES.md"} == set(weights.ABOUT)


def test_changed_and_missing_weights_are_told(tmp_path, monkeypatch):
    for name, content in {"mini/a": "1", "styles/b": "2", "face_model.npz": "3", "motions.safetensors": "4"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(weights, "ASSETS", tmp_path)
    sums = [f"{sha256_file(path)}  {path.relative_to(tmp_path).as_posix()}\n" for path in weights.shipped_files()]
    (tmp_path / weights.SUMS).write_text("".join(sums))
    assert set(states(list(weights._shipped())).values()) == {"ok"}
    (tmp_path / "mini" / "a").write_text("changed")
    (tmp_path / "styles" / "b").unlink()
    found = {finding.name: finding for finding in weights._shipped()}
    assert found["model mini"].state == "broken" and "not as shipped" in found["model mini"].found
    assert found["gallery of styles"].state == "missing" and "styles/b is missing" in found["gallery of styles"].found
    assert found["face model"].state == "ok" and found["model mini"].remedy


def test_whisper_is_damaged_fetched_later_or_there(tmp_path, monkeypatch):
    from safetensors.numpy import save_file

    from svp.speech import package

    def whisper() -> Finding:
        return next(iter(weights._whisper()))

    monkeypatch.setenv("SVP_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    absent = Report((whisper(),))
    assert whisper().state == "later" and absent.can_generate
    assert absent.verdict.startswith("videos can be made once whisper-tiny.en could be fetched")
    file = tmp_path / package.FOLDER / package.WEIGHTS
    file.parent.mkdir()
    save_file({"a": np.zeros(99, np.float32)}, file)
    assert whisper().state == "ok" and "another than of the pinned package" in whisper().found
    file.write_bytes(file.read_bytes()[:-8])
    assert whisper().state == "broken" and "damaged" in whisper().found and not Report((whisper(),)).can_generate


def test_what_signs_is_tried(tmp_path, monkeypatch):
    def signature() -> Finding:
        return next(finding for finding in examine_system() if finding.name == "signature")

    for variable in (CHAIN_VARIABLE, KEY_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SVP_DATA", str(tmp_path / "data"))
    assert signature().state == "later" and not (tmp_path / "data").exists()  # nothing is written
    own = local_certificate()
    assert signature().state == "ok"
    own.key.write_text("damaged")
    assert signature().state == "broken" and f"delete {own.key.parent}, another is made" in signature().found
    monkeypatch.setenv(CHAIN_VARIABLE, str(own.chain))
    assert signature().state == "broken" and KEY_VARIABLE in signature().found


def test_folders_that_may_not_be_entered_break_what_lies_in_them(tmp_path, monkeypatch):
    def refuse(path: Path, **_: object) -> bool:
        if path.is_relative_to(tmp_path):
            raise PermissionError(13, "Permission denied", str(path))
        return os.path.isdir(path)

    for variable in (CHAIN_VARIABLE, KEY_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("SVP_DATA", "SVP_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    for name in ("is_file", "is_dir"):
        monkeypatch.setattr(Path, name, refuse)
    found = {finding.name: finding for finding in (*examine_system(), *weights._whisper())}
    assert {found[name].state for name in ("signature", "whisper-tiny.en", "disk, temporary")} == {"broken"}
    for name, remedy in (("signature", "SVP_DATA"), ("whisper-tiny.en", "SVP_CACHE"), ("disk, temporary", "TMPDIR")):
        assert remedy in found[name].found + found[name].remedy


def test_imported_weights_are_found_and_looked_into(tmp_path):
    def syncnet(folder: Path | None) -> Finding:
        return next(finding for finding in weights.examine_weights(folder) if finding.name == "SyncNet")

    assert syncnet(None).state == "missing" and "svp import syncnet syncnet_v2.model" in syncnet(None).remedy
    (tmp_path / "syncnet").mkdir()
    (tmp_path / "syncnet" / "model.safetensors").write_bytes(b"broken")
    record = {"kind": "syncnet", "file": "syncnet_v2.model", "sha256": "ab" * 32, "size": 6, "parts": ["syncnet"]}
    record |= {"title": "SyncNet", "source": "here", "licence": "MIT", "use": "any"}
    (tmp_path / "weights.json").write_text(json.dumps([record]))
    assert "damaged" in syncnet(tmp_path).found
    from safetensors.numpy import save_file

    save_file({}, tmp_path / "syncnet" / "model.safetensors")
    found = syncnet(tmp_path)
    assert found.state == "ok" and "abababab" in found.found and "MIT" in found.found
    (tmp_path / "weights.json").write_text("{")
    broken = next(finding for finding in weights.examine_weights(tmp_path) if finding.section == weights.IMPORTED)
    assert "cannot be told" in broken.found


def test_the_terms_of_every_published_weight_are_told(tmp_path):
    (tmp_path / "denoising_unet.bin").write_text("x")
    file = ImportedFile.of("v-express", tmp_path / "denoising_unet.bin", "denoising_unet.bin", ("unet.spatial",))
    record_imports(tmp_path, [file])
    for folder in (None, tmp_path):
        found = {finding.name: finding for finding in weights.examine_weights(folder)}
        for weight in WEIGHTS.values():
            assert weight.licence in found[weight.title].found
        assert "non-commercial research only" in found["V-Express"].found
        assert "OpenRAIL-M" in found["Stable Diffusion 1.5"].found
        assert found["V-Express"].state == ("missing" if folder is None else "ok")
    assert file.sha256[:16] in found["V-Express"].found


def test_a_bundle_holds_the_report_and_gives_nothing_away(tmp_path, monkeypatch):
    home = tmp_path / "home" / "adalovelace"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "adalovelace")
    found = f"{home}/.cache/svp: no module in /opt/secret/x, adalovelace@{platform.node()}, file:///srv/x/y h264/aac"
    remedy = f"put it into {home} or D:\\secret\\x; see https://example.org/a/b, take 1/2"
    finding = Finding("System", "disk", "broken", found, "av", remedy)
    Report((finding,)).save_bundle(tmp_path / "report.zip")
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        contents = {name: archive.read(name).decode() for name in archive.namelist()}
    assert sorted(contents) == ["doctor.json", "doctor.txt", "packages.txt"]
    for text in contents.values():
        for private in (str(home), "adalovelace", "secret", "/srv/x", str(tmp_path)):
            assert private not in text
    [kept] = json.loads(contents["doctor.json"])["findings"]
    assert kept["found"].startswith("~/.cache/svp: no module in <path>, <user>@") and kept["found"].endswith("h264/aac")
    assert "https://example.org/a/b" in kept["remedy"] and "take 1/2" in kept["remedy"]
    assert not json.loads(contents["doctor.json"])["can_generate"]
    assert "torch==" in contents["packages.txt"] and "BROKEN" in contents["doctor.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "report.zip"]


def test_no_password_and_no_path_of_any_kind_is_given_away(tmp_path, monkeypatch):
    monkeypatch.setenv("SVP_APP_PASSWORD", "ann:hunter2")
    monkeypatch.setenv("SVP_CACHE", "/srv/acme client/cache")
    monkeypatch.setenv("LOGNAME", "ann")
    [told] = [finding.found for finding in examine_system() if finding.name == "environment"]
    assert "hunter2" not in told and "SVP_APP_PASSWORD=set" in told
    assert "acme" not in without_private(told)
    for text in (
        "/srv/my acme project/x.so", "C:\\Users\\acme client\\x", "/mnt/a,b/acme_c", "/mnt/x:acme/d", "-I /mnt/acme/x",
        "gcc -I/mnt/acme/x", "\\\\server\\share\\acme", "//nas/acme/x", "smb://nas/acme", "PATH=/bin:/opt/acme/bin",
        "see http://acme:word@example.org/x", "in '/srv/a b/acme c/d.so': cannot open",
        "cannot load (/opt/My acme (EU)/lib.so)",
    ):  # fmt: skip
        assert "acme" not in without_private(text), without_private(text)
    for text in ("h264/aac", "take 1/2", "https://example.org/a/b and 3 / 4", "24.0 of 25 GB free; torch+cpu"):
        assert without_private(text) == text


def test_folders_in_the_home_and_relative_places_are_not_given_away(tmp_path, monkeypatch):
    home = tmp_path / "home" / "ada"
    here = home / "acme client"
    here.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    variables = {"SVP_CERTIFICATE": "clients/acme/chain.pem", "SVP_DATA": "acme", "HF_HUB_AUTH": "Basic acme"}
    for name, value in (variables | {"OMP_NUM_THREADS": "2"}).items():
        monkeypatch.setenv(name, value)
    [told] = [finding.found for finding in examine_system() if finding.name == "environment"]
    assert "Basic" not in told and "SVP_DATA=acme" in told  # on the screen of its owner
    assert "acme" not in without_private(told) and "SVP_CERTIFICATE=set" in without_private(told)
    assert "OMP_NUM_THREADS=2" in without_private(told)
    for text in (
        f"{here}: 3 GB free", f"{here}/x.pem", f"put it into {home}/work/acme", "~/work/acme/x.pem", "acme: 3 GB free",
        "clients/acme/chain.pem: damaged", "acme/certificate: not writable", f"{home}/acme.txt",
    ):  # fmt: skip
        assert "acme" not in without_private(text), without_private(text)
    assert without_private(f"{here}: 3 GB free") == "<path>: 3 GB free"
    for kept in ("~/.cache/svp/x", "~/.local/share/svp", "~"):
        assert without_private(f"{home}{kept[1:]}: 3 GB free") == f"{kept}: 3 GB free"
    finding = Finding("Weights", "SyncNet", "missing", "theirs/x/syncnet: damaged", "", "svp import y -o theirs/x")
    Report((finding,)).save_bundle(tmp_path / "report.zip", "theirs/x")
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        assert b"theirs" not in b"".join(archive.read(name) for name in archive.namelist())


def test_a_user_called_as_a_word_is_left_out_as_a_word(monkeypatch):
    monkeypatch.setenv("LOGNAME", "al")
    assert without_private("al and AL install all, al-2") == "<user> and <user> install all, <user>-2"


def test_a_crippled_installation_is_told_and_never_a_traceback(tmp_path):
    absent = ("av", "cv2", "safetensors", "huggingface_hub", "numpy", "psutil", "torch", "mediapipe", "c2pa")
    home = tmp_path / "charlesbabbage"
    home.mkdir()
    owner = {"HOME": str(home), "LOGNAME": "charlesbabbage"}
    found = doctor("--bundle", tmp_path / "report.zip", absent=absent, COLUMNS="100", **owner)
    assert found.returncode == 1, found.stderr
    assert "Traceback" not in found.stderr and "BROKEN" in found.stdout and "cannot be made" in found.stdout
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        text = "".join(archive.read(name).decode() for name in archive.namelist())
    assert "does not load" in text and "charlesbabbage" not in text and str(ROOT) not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--metrics",), "--weights"),
        (("--cifar", "somewhere"), "--metrics"),
        (("--weights", "nosuch"), "no such folder"),
        (("--bundle", "report.txt"), ".zip"),
        (("--metrics", "--bundle", "report.zip", "--weights", "."), "leave it or --metrics out"),
    ],
)
def test_options_that_do_not_fit(arguments, message):
    found = doctor(*arguments)
    assert found.returncode == 2 and message in found.stderr and len(found.stderr.splitlines()) == 1


def test_published_figures_that_cannot_be_computed_say_what_they_lack(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    check_metrics(tmp_path, None, None)
    printed = capsys.readouterr().out
    assert "151.256" in printed and "svp import inception" in printed

    figure = ReferenceCheck("FVD", 151.256, 1.0, measured=153.0)
    monkeypatch.setattr("svp.evaluation.reference_values.reference_checks", lambda *_: iter([figure]))
    with pytest.raises(typer.Exit) as left:
        check_metrics(tmp_path, None, None)
    assert left.value.exit_code == 1 and "DIFFERS" in capsys.readouterr().out
