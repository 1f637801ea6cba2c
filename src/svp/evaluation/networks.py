"""Published networks that measure videos: which are imported, how a report names them, what they say of a video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
from torch import nn

from svp.device import computing_device
from svp.evaluation.cache import MeasurementCache
from svp.evaluation.facts import Unmeasurable, VideoFacts
from svp.evaluation.fid import frame_features
from svp.evaluation.fvd import window_features
from svp.evaluation.metric import Uses
from svp.evaluation.style_sim import style_code
from svp.evaluation.sync_network import measure_sync
from svp.media.video import FPS, read_frames
from svp.weights import load_deep3d, load_i3d, load_inception, load_styletalk, load_syncnet
from svp.weights.network import SAFETENSORS, TORCHSCRIPT
from svp.weights.provenance import ImportedFile, imported_files
from svp.weights.registry import Weight, find_weight
from svp.weights.syncnet import SyncNet

Networks = Mapping[str, nn.Module]

# The weights that each kind of measurement needs.
NEEDED: Final[Mapping[Uses, tuple[str, ...]]] = {
    "inception": ("inception",),
    "i3d": ("i3d",),
    "syncnet": ("syncnet",),
    "styletalk": ("styletalk", "deep3d"),
}
LOADERS: Final[Mapping[str, Callable[[Path], nn.Module]]] = {
    "inception": load_inception,
    "i3d": load_i3d,
    "syncnet": load_syncnet,
    "styletalk": load_styletalk,
    "deep3d": load_deep3d,
}


@dataclass(frozen=True)
class ImportedNetworks:
    """The networks in a folder that `svp import` wrote; none where there is no folder.

    Attributes:
        folder: with one folder per kind of weights, and their record.
    """

    folder: Path | None

    def records(self) -> dict[str, ImportedFile]:
        """Where each kind that is there comes from.

        Raises:
            InputError: the record is damaged.
        """
        if self.folder is None:
            return {}
        return {
            record.kind: record
            for record in imported_files(self.folder)
            if any((self.folder / record.kind / name).is_file() for name in (SAFETENSORS, TORCHSCRIPT))
        }

    def how_to_get(self, uses: Uses) -> str:
        """What has to be imported for a kind of measurement, "" where it can be made."""
        there = self.records()
        missing = [find_weight(kind) for kind in NEEDED[uses] if kind not in there]
        if not missing:
            return ""
        titles = " and ".join(weight.title for weight in missing)
        commands = " and ".join(f"`svp import {weight.kind} {weight.files[0]} -o DIR`" for weight in missing)
        return f"needs {titles}; {commands}, then --weights DIR (docs/evaluation.md)"

    def named(self, uses: Uses) -> str:
        """The weights of a kind of measurement with hash and terms, for a report."""
        records = [self.records()[kind] for kind in NEEDED[uses]]
        return "; ".join(f"{r.title} ({r.file} sha256 {r.sha256[:16]}; {r.licence}; {r.use})" for r in records)

    def weights(self, uses: Iterable[str]) -> list[Weight]:
        """The weights that kinds of measurement need, as far as they are there; what uses no weights has none."""
        records, kinds = self.records(), {kind for use, needed in NEEDED.items() if use in uses for kind in needed}
        return [record.weight for kind, record in records.items() if kind in kinds]

    def digests(self, uses: Uses) -> tuple[str, ...]:
        """Hashes of these weights."""
        return tuple(self.records()[kind].sha256 for kind in NEEDED[uses])


@dataclass(frozen=True, eq=False)
class NetworkMeasures:
    """What networks say of videos; loaded once per process.

    Attributes:
        digests: of the weights of each kind of measurement that is made.
        networks: by kind of weights.
    """

    digests: Mapping[Uses, tuple[str, ...]]
    networks: Networks

    @classmethod
    def load(cls, folder: Path, uses: tuple[Uses, ...]) -> NetworkMeasures:
        """The networks for these kinds of measurement, on the GPU where there is one.

        Raises:
            InputError: a file of the folder is damaged.
        """
        imported = ImportedNetworks(folder)
        kinds = dict.fromkeys(kind for use in uses for kind in NEEDED[use])
        networks = {kind: LOADERS[kind](folder / kind).to(computing_device()) for kind in kinds}
        return cls({use: imported.digests(use) for use in uses}, networks)

    def of(self, video: VideoFacts, path: Path, cache: MeasurementCache) -> dict[str, np.ndarray | str]:
        """What each network says of a video, or in words why it says nothing."""
        return {use: self._measured(use, video, path, cache) for use in self.digests}

    def _measured(self, use: Uses, video: VideoFacts, path: Path, cache: MeasurementCache) -> np.ndarray | str:
        key = ("network", use, video.sha256, *self.digests[use])
        known = cache.get(*key)
        if known is not None:
            return known[0]["found"]
        try:
            found = MEASURES[use](self.networks, video, path)
        except Unmeasurable as reason:
            return str(reason)
        cache.put({"found": found}, {}, *key)
        return found


def _inception(networks: Networks, video: VideoFacts, path: Path) -> np.ndarray:
    return frame_features(read_frames(path, FPS), networks["inception"])


def _i3d(networks: Networks, video: VideoFacts, path: Path) -> np.ndarray:
    return window_features(read_frames(path, FPS), networks["i3d"])


def _syncnet(networks: Networks, video: VideoFacts, path: Path) -> np.ndarray:
    return measure_sync(video, path, cast(SyncNet, networks["syncnet"]))


def _styletalk(networks: Networks, video: VideoFacts, path: Path) -> np.ndarray:
    return style_code(read_frames(path, FPS), video.seen_face, networks["deep3d"], networks["styletalk"])


MEASURES: Final[Mapping[Uses, Callable[[Networks, VideoFacts, Path], np.ndarray]]] = {
    "inception": _inception,
    "i3d": _i3d,
    "syncnet": _syncnet,
    "styletalk": _styletalk,
}
