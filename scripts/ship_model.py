"""Put a trained model into the package: weights rounded to half precision, training record kept.

usage: ship_model.py RUN_OR_MODEL OUT_DIR [--guidance-audio G] [--guidance-style G] [--steps N]

Steps and guidance scales become the model's own, used when a call names none; without the options they stay as they
are. The style encoder's fingerprint is taken after the rounding, so that gallery styles made with the shipped model
fit it.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch

from svp import SVPPipeline
from svp.diffusion.model_folder import model_folder
from svp.weights.config import TRAINING_RECORD

LIMIT_MB = 40  # what the package may carry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--guidance-audio", type=float)
    parser.add_argument("--guidance-style", type=float)
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()
    source, out = model_folder(options.source), options.out
    pipeline = SVPPipeline.from_pretrained(source)
    own = {"guidance_audio": options.guidance_audio, "guidance_style": options.guidance_style}
    own["num_inference_steps"] = options.steps
    given = {name: value for name, value in own.items() if value is not None}
    pipeline.register_to_config(settings=pipeline.settings.model_copy(update=given).model_dump())
    networks = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    for network in networks:
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.data = tensor.data.half().float()
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    pipeline.save_pretrained(partial)  # in float32 first: this records the fingerprint
    for network in networks:
        network.half()
    pipeline.save_pretrained(partial)
    for path in (path for path in partial.rglob("*.json") if path.name != TRAINING_RECORD):
        values = json.loads(path.read_text())
        values.pop("_name_or_path", None)  # the folder it was trained in says nothing elsewhere
        path.write_text(json.dumps(values, indent=2) + "\n")
    size = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file()) / 1e6
    if size > LIMIT_MB:
        sys.exit(f"{partial}: {size:.1f} MB, more than the {LIMIT_MB} MB the package may carry")
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    print(f"{out}: {size:.1f} MB")


if __name__ == "__main__":
    main()
