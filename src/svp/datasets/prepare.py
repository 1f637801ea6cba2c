"""`svp prepare`: a folder of clips becomes a prepared dataset; what cannot be used is set aside with its reason."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

from svp.bar import bytes_bar
from svp.datasets.coefficients import CoefficientOptions, coefficient_sources, extract_coefficients
from svp.datasets.description import DATASET_NAME
from svp.datasets.extract import ExtractOptions, extract_clips, shared_audio_encoder
from svp.datasets.hdtf import hdtf_sources
from svp.datasets.layouts import VideoLayout
from svp.datasets.manifest import ClipRow, Split, readable
from svp.datasets.mead import FRONT, mead_sources
from svp.datasets.prepared import DatasetWriter, PreparedDataset
from svp.datasets.quality import least_face
from svp.datasets.report import PrepareReport, write_speech
from svp.datasets.sheet import sheet_path, write_sheets
from svp.datasets.source_job import (
    KEY_DIGITS,
    Layout,
    SourceJob,
    digest_once,
    fits_options,
    prepare_source,
    source_died,
)
from svp.datasets.sources import ClipSource, base_id, folder_sources
from svp.datasets.splits import PAPER_TEST, assign_splits, paper_splits
from svp.errors import InputError
from svp.face.deep3d import ENCODER_ID
from svp.face.model import FaceModel
from svp.media.hashing import sha256_text
from svp.media.only_writer import only_writer
from svp.media.video import FPS
from svp.workers import run_jobs

Options = ExtractOptions | CoefficientOptions
OF_DATASET = frozenset(["size", "expression_encoder", "audio_encoder"])  # what may change beside the options


def prepare_folder(
    source: Path | str,
    dataset: Path | str,
    *,
    size: int,
    audio_encoder: str,
    layout: VideoLayout = "folder",
    view: str | None = None,
    workers: int = 1,
    ray: str | None = None,
    resume: bool = True,
    rehash: bool = False,
    max_seconds: float = 10.0,
    min_seconds: float = 0.4,
    max_missing: float = 0.1,
    max_others: float = 0.1,
    min_face: float | None = None,
    min_sharpness: float = 0.01,
    max_offset: float = 0.2,
    cut_change: float = 15.0,
    correct_offset: bool = False,
    require_sound: bool | None = None,
    val_fraction: float | None = None,
    test_fraction: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> PrepareReport:
    """Prepare the video clips of a folder.

    A source that is unreadable, empty, faceless or too short is set aside; the others go on. A run killed at any moment
    and started again gives the same dataset, and so does any number of workers. Of a dataset that exists, a changed
    option makes anew what follows from it and nothing else: the sound features, the clips, or the verdict alone. No
    clip leaves because its source is gone.

    Args:
        source: folder with video files; see `layout`.
        dataset: where the prepared dataset is or will be.
        size, audio_encoder, max_seconds, min_seconds, max_missing, max_others, min_sharpness, max_offset,
            cut_change, correct_offset: ExtractOptions.
        layout: how the folder is made up and labelled: `sources.folder_sources`, `mead.mead_sources`,
            `hdtf.hdtf_sources`.
        view: of MEAD's cameras; front by default.
        workers: processes; on a cluster 0 takes all processors.
        ray: address of a Ray cluster to work on; its machines must see the same files under the same paths.
        resume: go on with a dataset that exists; without it, one that exists is an error.
        rehash: read every file to see whether it has changed, also one whose size, date and inode are as they were.
        min_face: ExtractOptions; by default a quarter of the face's side in the crop.
        require_sound: ExtractOptions; by default as data sets of speech want it, and not for a folder.
        val_fraction, test_fraction: shares of the identities; no identity is in two splits. By default a tenth each of
            a folder; of MEAD and HDTF none for validation, and as many as in the paper for the test.
        seed: of the draw of identities.
        progress: show a bar on stderr.

    Raises:
        InputError: the source, an option or the dataset's folder cannot be used.
    """
    if layout not in get_args(VideoLayout):
        raise InputError(f"layout {layout!r}: no such layout of videos; choose from {', '.join(get_args(VideoLayout))}")
    if view is not None and layout != "mead":
        raise InputError(f"--view {view}: only MEAD has views; leave it out with layout {layout}")
    is_folder = layout == "folder"
    options = ExtractOptions.checked(
        size=size,
        audio_encoder=audio_encoder,
        max_seconds=max_seconds,
        min_seconds=min_seconds,
        max_missing=max_missing,
        max_others=max_others,
        min_face=least_face(size) if min_face is None else min_face,
        min_sharpness=min_sharpness,
        max_offset=max_offset,
        cut_change=cut_change,
        correct_offset=correct_offset,
        require_sound=not is_folder if require_sound is None else require_sound,
    )
    choices: dict[str, Any] = {"val_fraction": val_fraction, "test_fraction": test_fraction, "seed": seed}
    if is_folder:
        choices = {"val_fraction": 0.1, "test_fraction": 0.1} | {k: v for k, v in choices.items() if v is not None}
    find: dict[str, Callable[[Path, Path], list[ClipSource]]] = {
        "folder": folder_sources,
        "mead": partial(mead_sources, view=view or FRONT),
        "hdtf": hdtf_sources,
    }
    if layout == "mead":
        choices["view"] = view or FRONT
    made = Layout(layout, find[layout], extract_clips, FaceModel.load().encoder_id, size)
    return _prepare(made, Path(source), Path(dataset), options, choices, (workers, ray), (resume, rehash), progress)


def prepare_coefficients(
    source: Path | str,
    dataset: Path | str,
    *,
    audio_encoder: str,
    fps: float = 25.0,
    workers: int = 1,
    ray: str | None = None,
    resume: bool = True,
    rehash: bool = False,
    max_seconds: float = 10.0,
    min_seconds: float = 0.4,
    require_sound: bool = False,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    progress: bool = True,
) -> PrepareReport:
    """Prepare tracks of 3DMM coefficients, clips without pictures: only stage `prior` learns from them.

    Args:
        source: folder with .mat files (see `coefficients.coefficient_sources` for names, labels and sound).
        fps, audio_encoder, max_seconds, min_seconds, require_sound: CoefficientOptions.
        dataset, workers, ray, resume, rehash, val_fraction, test_fraction, seed, progress: as in `prepare_folder`.

    Raises:
        InputError: the source, an option or the dataset's folder cannot be used.
    """
    options = CoefficientOptions.checked(
        fps=fps,
        audio_encoder=audio_encoder,
        max_seconds=max_seconds,
        min_seconds=min_seconds,
        require_sound=require_sound,
    )
    layout = Layout("coefficients", coefficient_sources, extract_coefficients, ENCODER_ID, 0)
    choices = {"val_fraction": val_fraction, "test_fraction": test_fraction, "seed": seed}
    return _prepare(layout, Path(source), Path(dataset), options, choices, (workers, ray), (resume, rehash), progress)


def _prepare(
    layout: Layout,
    source: Path,
    dataset: Path,
    options: Options,
    choices: Mapping[str, Any],
    where: tuple[int, str | None],
    again: tuple[bool, bool],
    progress: bool,
) -> PrepareReport:
    """Prepare a folder; `choices` say who is in the dataset and in which split, `where` are workers and cluster,
    `again` whether a dataset may exist and whether its sources are all read."""
    val_fraction, test_fraction = choices["val_fraction"] or 0, choices["test_fraction"] or 0
    workers, ray = where
    resume, rehash = again
    if rehash:
        digest_once.cache_clear()  # of an earlier run of this process
    if workers < (1 if ray is None else 0):
        raise InputError(f"workers {workers}: at least one process is needed; give 1 or more")
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction > 1:
        raise InputError(
            f"fractions {val_fraction} (val) and {test_fraction} (test): give shares that sum to at most 1"
        )
    if not resume and (dataset / DATASET_NAME).exists():
        raise InputError(f"{dataset}: is already a prepared dataset; go on with it by --resume, or name another folder")
    if ray is not None:
        source, dataset = source.absolute(), dataset.absolute()
    sources = layout.find(source, dataset)
    own = options.model_dump(exclude={"size", "audio_encoder"})
    encoder = shared_audio_encoder(options.audio_encoder).id
    with only_writer(dataset, "preparing it"):
        writer = DatasetWriter(
            dataset,
            {"layout": layout.name, **own, **choices},
            layout.expression_encoder,
            encoder,
            layout.size,
            variable=OF_DATASET | own.keys(),
        )
        folder = sha256_text(readable(str(source.resolve())))[:KEY_DIGITS]
        jobs, dropped = _jobs(layout, folder, sources, choices, writer, options, rehash)
        states: defaultdict[str, list[str]] = defaultdict(list)  # names of the sources
        makers: Counter[str] = Counter()
        with bytes_bar("preparing", sum(job.size for job in jobs), shown=progress) as told:
            for done in run_jobs(jobs, prepare_source, workers, source_died, ray=ray):
                states[done.state] += {row.source for row in done.rows}
                makers[done.worker] += done.state == "made"
                accepted = [row for row in done.rows if row.status == "ok"]
                made = sum(row.frames for row in accepted) / FPS if done.state == "made" else 0.0
                told(done.size, made, {"clips": len(accepted), "rejected": len(done.rows) - len(accepted)})
        rows = writer.finish()
        accepted = [row for row in rows if row.status == "ok"]
        write_speech(dataset, accepted)
        if layout.size:
            write_sheets(PreparedDataset(dataset))
    return PrepareReport(
        tuple(accepted),
        tuple(row for row in rows if row.status == "rejected"),
        kept=len(states["kept"]),
        gone=len(states["gone"]),
        namesakes=tuple(sorted(states["namesake"])),
        dropped=dropped,
        changed=writer.changed,
        makers=+makers,
    )


def _jobs(
    layout: Layout,
    folder: str,
    sources: Sequence[ClipSource],
    choices: Mapping[str, Any],
    writer: DatasetWriter,
    options: Options,
    rehash: bool,
) -> tuple[list[SourceJob], int]:
    """One job per source, large files first, so that no worker is left alone with one at the end.

    Clips of sources that are gone stay, unless their options are no longer those of the dataset: the second result is
    how many had to leave.
    """
    ids, names = {source.clip_id for source in sources}, {source.name for source in sources}
    done = writer.done()
    present: defaultdict[str, list[ClipRow]] = defaultdict(list)
    for row in done.values():
        present[base_id(row.clip_id)].append(row)
    dropped = 0
    for base in present.keys() - ids:
        stale = not fits_options(present[base], options, layout, writer.audio_encoder)
        for row in present[base]:
            own = row.folder in ("", folder)
            if stale or (own and (not row.frames or row.source in names)):  # never read, or it has other names now
                writer.remove(row.clip_id)
                sheet_path(writer.root, row.identity).unlink(missing_ok=True)
                dropped += stale and row.status == "ok" and row.source not in names
    kept = {row.identity: row.split for row in done.values() if row.frames or base_id(row.clip_id) not in ids}
    splits = _splits(layout, sources, present, kept, choices)
    jobs = [
        SourceJob(
            source, folder, layout, splits[source.identity], tuple(present[source.clip_id]), writer, options, rehash
        )
        for source in sources
    ]
    jobs.sort(key=lambda job: (-job.size, job.source.name, job.source.clip_id))
    return jobs, dropped


def _splits(
    layout: Layout,
    sources: Sequence[ClipSource],
    present: Mapping[str, Sequence[ClipRow]],
    kept: Mapping[str, Split],
    choices: Mapping[str, Any],
) -> dict[str, Split]:
    """Split of each identity: by shares, or as the paper splits MEAD and HDTF where no share for the test is given.

    Then the videos count that are there or in the dataset (of MEAD one for an identity), not those of the lists.
    """
    val_fraction, test_fraction, seed = (choices[name] for name in ("val_fraction", "test_fraction", "seed"))
    everyone = [source.identity for source in sources]
    if test_fraction is not None:
        return assign_splits(everyone, kept, val_fraction=val_fraction or 0, test_fraction=test_fraction, seed=seed)
    there = {
        (source.identity, source.video)
        for source in sources
        if not source.problem or any(row.frames for row in present.get(source.clip_id, ()))
    }
    counts = Counter(identity for identity, _ in there)
    videos = {identity: counts[identity] for identity in everyone} | dict.fromkeys(kept.keys() - set(everyone), 1)
    count = PAPER_TEST[layout.name]
    return paper_splits(videos, kept, count=count, val_fraction=val_fraction or 0, seed=seed)
