"""Networks that measure: `svp import` of each into a folder of its own, with a record of where it comes from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import nn

from svp.errors import InputError
from svp.weights.deep3d import load_deep3d
from svp.weights.i3d import load_i3d
from svp.weights.inception import load_inception
from svp.weights.network import SAFETENSORS, TORCHSCRIPT
from svp.weights.registry import find_weight
from svp.weights.scripted import ScriptedFeatures
from svp.weights.staging import staged_import
from svp.weights.storage import write_weights
from svp.weights.styletalk import load_styletalk
from svp.weights.syncnet import load_syncnet


def import_network(
    kind: str, load: Callable[..., nn.Module], source: Path, output: Path, **options: bool
) -> tuple[str, ...]:
    """Write a published network to `output/kind/`: the tensors as safetensors, TorchScript as it is.

    Args:
        load: reads the published file and refuses others.
        source: that file, or a folder that holds it under its published name.
        options: of `load`.

    Returns:
        The parts that were added: the kind.

    Raises:
        InputError: the source is something else.
    """
    published = find_weight(kind).files
    file = source
    if source.is_dir():
        found = [source / name for name in published if (source / name).is_file()]
        if not found:
            raise InputError(f"{source}: has no {' or '.join(published)}; name the file itself")
        file = found[0]
    with staged_import(source, output) as stage:
        network, folder = load(file, **options), stage.folder / kind
        folder.mkdir()
        stage.record(kind, file, file.name, (kind,))
        [record] = stage.records
        if isinstance(network, ScriptedFeatures):
            shutil.copyfile(file, folder / TORCHSCRIPT)
            if record.sha256 not in find_weight(kind).scripts:
                stage.records = [record.of_unknown_origin()]
        else:
            write_weights(folder / SAFETENSORS, network.state_dict())
    return stage.parts


import_deep3d = partial(import_network, "deep3d", load_deep3d)
import_i3d = partial(import_network, "i3d", load_i3d)
import_inception = partial(import_network, "inception", load_inception)
import_styletalk = partial(import_network, "styletalk", load_styletalk)
import_syncnet = partial(import_network, "syncnet", load_syncnet)
