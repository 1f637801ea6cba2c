"""Put a trained model into the package: weights rounded to half precision, training record kept.

usage: ship_model.py RUN_OR_MODEL OUT_DIR [--guidance-audio G] [--guidance-style G] [--steps N]
                     [--stillness S] [--turbo-steps N | --turbo RUN_OR_MODEL [--turbo-kb N]] [--tiny-vae RUN_OR_MODEL]

Steps, guidance scales and stillness become the model's own; without the options they stay as they are.
`--turbo-steps` lets `--fast turbo` take so many steps of the model itself, if it was trained for few. `--turbo`
names what `svp train turbo` made of the model: its UNet goes along for `--fast turbo`, as low-rank changes of the
model's that take so many kB. `--tiny-vae` names what `svp train tiny-vae` made of it: its tiny decoder goes along. The
style encoder's fingerprint is taken after the rounding, so that gallery styles made with the shipped model fit it.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch

from svp import SVPPipeline
from svp.diffusion.adapters import find_adapters
from svp.diffusion.model_folder import model_folder
from svp.diffusion.tiny_decoder import TinyVAE
from svp.diffusion.turbo import Turbo
from svp.weights.config import TRAINING_RECORD
from svp.weights.training_record import training_records

LIMIT_MB = 40  # what the package may carry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--guidance-audio", type=float)
    parser.add_argument("--guidance-style", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--stillness", type=float)
    parser.add_argument("--turbo-steps", type=int)
    parser.add_argument("--turbo", type=Path)
    parser.add_argument("--turbo-kb", type=int, default=450)
    parser.add_argument("--tiny-vae", type=Path)
    options = parser.parse_args()
    source, out = model_folder(options.source), options.out
    pipeline = SVPPipeline.from_pretrained(source)
    own = {"guidance_audio": options.guidance_audio, "guidance_style": options.guidance_style}
    own |= {"num_inference_steps": options.steps, "turbo_steps": options.turbo_steps, "stillness": options.stillness}
    distilled = None if options.turbo is None else SVPPipeline.from_pretrained(model_folder(options.turbo))
    if distilled is not None:
        own["turbo_steps"] = distilled.settings.turbo_steps
        if own["turbo_steps"] is None:
            sys.exit(f"{options.turbo}: was not distilled; name what `svp train turbo` made of the model")
    given = {name: value for name, value in own.items() if value is not None}
    pipeline.register_to_config(settings=pipeline.settings.model_copy(update=given).model_dump())
    if options.tiny_vae is not None:
        pipeline.register_modules(tiny_vae=tiny_decoder_of(pipeline, options.tiny_vae))
    networks = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    for network in networks:
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.data = tensor.data.half().float()
    if distilled is not None:
        pipeline.turbo = turbo_of(pipeline, distilled, options.turbo_kb)
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
    if options.tiny_vae is not None:  # how it was trained belongs to the model's record
        record = [*training_records(source), *training_records(model_folder(options.tiny_vae))[-1:]]
        (partial / TRAINING_RECORD).write_text(json.dumps(record, indent=2) + "\n")
    size = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file()) / 1e6
    if size > LIMIT_MB:
        sys.exit(f"{partial}: {size:.1f} MB, more than the {LIMIT_MB} MB the package may carry")
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    print(f"{out}: {size:.1f} MB")


def tiny_decoder_of(pipeline: SVPPipeline, folder: Path) -> TinyVAE:
    """The tiny decoder of another model, if its latents are the pipeline's: weights may differ by the rounding."""
    other = SVPPipeline.from_pretrained(model_folder(folder))
    if other.tiny_vae is None:
        sys.exit(f"{folder}: has no tiny decoder; name what `svp train tiny-vae` made of the model")
    own, theirs = ({name: tensor.half() for name, tensor in m.vae.state_dict().items()} for m in (pipeline, other))
    if own.keys() != theirs.keys() or not all(torch.equal(own[name], theirs[name]) for name in own):
        sys.exit(f"{folder}: its tiny decoder is for another VAE; train one with --init of this model")
    return other.tiny_vae


def turbo_of(pipeline: SVPPipeline, distilled: SVPPipeline, kilobytes: int) -> Turbo:
    """The distilled model's UNet as changes of the pipeline's."""
    own, wanted = (network.unet.state_dict(prefix="unet.") for network in (pipeline, distilled))
    turbo = Turbo(find_adapters(own, wanted, 1000 * kilobytes))
    got = turbo.unet(pipeline.unet).state_dict(prefix="unet.")
    missed, change = (sum(float((t[n] - wanted[n]).square().sum()) for n in wanted) for t in (got, own))
    print(f"turbo: {1 - missed / change:.1%} of the squared change of the weights in {kilobytes} kB")
    return turbo


if __name__ == "__main__":
    main()
