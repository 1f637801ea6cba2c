"""Networks that measure: `svp import` of each into a folder of its own, with a record of where it comes from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import nn

from svp.errors import InputError
from svp.media.whole_file import whole_file
from svp.weights.deep3d import load_deep3d
from svp.weights.i3d import load_i3d
from svp.weights.inception import load_inception
from svp.weights.network import SAFETENSORS, TORCHSCRIPT
from svp.weights.provenance import ImportedFile, record_imports
from svp.weights.registry import find_weight
from svp.weights.scripted import ScriptedFeatures
from svp.weights.storage import write_weights
from svp.weights.styletalk import load_styletalk
from svp.weights.syncnet import load_syncnet


def import_network(kind: str, load: Callable[[Path], nn.Module], source: Path, output: Path) -> tuple[str, ...]:
    """Write a published network to `output/kind/`: the tensors as safetensors, TorchScript as it is.

    Args:
        load: reads the published file and refuses others.
        source: that file, or a folder that holds it under its published name.

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
    network, folder = load(file), output / kind
    folder.mkdir(parents=True, exist_ok=True)
    record = ImportedFile.of(kind, file, file.name, (kind,))
    if isinstance(network, ScriptedFeatures):
        with whole_file(folder / TORCHSCRIPT) as copy:
            shutil.copyfile(file, copy)
        (folder / SAFETENSORS).unlink(missing_ok=True)
    else:
        write_weights(folder / SAFETENSORS, network.state_dict())
        (folder / TORCHSCRIPT).unlink(missing_ok=True)
    record_imports(output, [record])
    return record.parts


import_deep3d = partial(import_network, "deep3d", load_deep3d)
import_i3d = partial(import_network, "i3d", load_i3d)
import_inception = partial(import_network, "inception", load_inception)
import_styletalk = partial(import_network, "styletalk", load_styletalk)
import_syncnet = partial(import_network, "syncnet", load_syncnet)
