"""wav2vec2-base-960h as V-Express hears it: the last hidden state, two positions per video frame.

V-Express hears a whole recording in one pass. So does this, in pieces where a pass would take much memory: the
convolutions see 30 s at once, after the first layer's norm, which spans all time, has got mean and variance from the
whole recording; then all positions attend to each other, for which no matrix of weights is stored. Only what is longer
than five minutes is heard in parts of four, each with half a minute on either side that it attends to.

Shapes: P positions at about 50 Hz, T outputs of the first layer and C of its channels (512), N video frames, D channels
(768), A = 2 D numbers per frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Wav2Vec2Config, Wav2Vec2Model

from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE
from svp.speech.layout import WAV2VEC2, alpha_layout
from svp.speech.whisper import as_samples
from svp.weights.checkpoint import check_shapes, shapes

CONVOLVED = 1500  # positions whose samples are convolved together
LONGEST, CONTEXT = 15000, 1500  # positions that attend to each other; those of a part's surroundings on either side
NORM_BLOCK = 16000  # outputs of the first layer that are looked at together, 5 s
FIRST_SAMPLES, SAMPLES_PER_POSITION = 400, 320  # the receptive field of a position and the step between two
VARIANCE_FLOOR = 1e-7
HEAD = "lm_head."  # of the published speech recognition, not needed
MASK = "masked_spec_embed"  # only fine-tuning uses it; some files lack it


class Wav2Vec2AudioEncoder:
    """alpha of V-Express: features stretched to two positions per frame.

    Args:
        model: the network, in evaluation mode.
    """

    id = WAV2VEC2

    def __init__(self, model: Wav2Vec2Model) -> None:
        self.model = model
        self.size = alpha_layout(self.id).positions * model.config.hidden_size

    def stream(self, audio: np.ndarray, n_frames: int, fps: float = 25.0) -> Iterator[Tensor]:
        """Blocks (n, A) of successive frames, one per part of the recording."""
        per_frame = self.size // self.model.config.hidden_size
        samples = FittedSound(as_samples(audio), round(n_frames * SAMPLE_RATE / fps))
        total = max(0, (len(samples) - FIRST_SAMPLES) // SAMPLES_PER_POSITION) + 1
        # two positions per frame lie evenly over all of the recording's, ends held (linear interpolation)
        places = (torch.arange(per_frame * n_frames, dtype=torch.float64) + 0.5) * total / (per_frame * n_frames) - 0.5
        places = places.clamp(0, total - 1)
        before = places.floor().long()
        after = (before + 1).clamp(max=total - 1)
        part = (places - before)[:, None].float()
        last_needed = after.view(n_frames, per_frame)[:, -1]
        done, first, held = 0, 0, torch.zeros(0, self.model.config.hidden_size)
        for features_PD in position_pieces(samples, total, self.model):
            held = torch.cat((held, features_PD))
            ready = int((last_needed < first + len(held)).sum())
            rows = slice(per_frame * done, per_frame * ready)
            if ready > done:
                low, high = held[before[rows] - first], held[after[rows] - first]
                yield (low + part[rows] * (high - low)).reshape(ready - done, -1)
                done = ready
            keep = int(before[per_frame * done]) if done < n_frames else first + len(held)
            held, first = held[keep - first :], keep

    def encode(self, audio: np.ndarray, n_frames: int, fps: float = 25.0) -> Tensor:
        """alpha of frames 0..N-1, (N, A) float32 on the CPU, for sound (samples,) at 16 kHz."""
        return torch.cat([*self.stream(audio, n_frames, fps), torch.zeros(0, self.size)])


class FittedSound:
    """Samples of zero mean and unit variance over the whole recording, then cut, or silent after their end.

    Pieces are made as they are asked for: a long recording is not held a second time.
    """

    def __init__(self, samples: np.ndarray, length: int) -> None:
        self._samples, self._heard = samples, min(len(samples), length)
        self._length = max(length, FIRST_SAMPLES)
        count = max(1, len(samples))
        self._mean = sum(float(piece.sum(dtype=np.float64)) for piece in _pieces(samples)) / count
        squares = sum(float(np.square(piece - self._mean, dtype=np.float64).sum()) for piece in _pieces(samples))
        self._deviation = np.sqrt(squares / count + VARIANCE_FLOOR)

    def __len__(self) -> int:
        return self._length

    def piece(self, first: int, last: int) -> np.ndarray:
        """Samples first..last-1, float32."""
        given = np.zeros(min(last, self._length) - first, np.float32)
        heard = self._samples[first : min(last, self._heard)]
        given[: len(heard)] = (heard - self._mean) / self._deviation
        return given


def _pieces(samples: np.ndarray) -> Iterator[np.ndarray]:
    size = CONVOLVED * SAMPLES_PER_POSITION
    return (samples[first : first + size] for first in range(0, len(samples), size))


@torch.inference_mode()
def position_pieces(samples: FittedSound, total: int, model: Wav2Vec2Model) -> Iterator[Tensor]:
    """The last hidden states of a normalised recording, part by part.

    Yields:
        (P, D) float32 on the CPU; together `total` positions.
    """
    part = total if total <= LONGEST else LONGEST - 2 * CONTEXT
    moments = first_layer_moments(samples, model)
    for start in range(0, total, part):
        first, last = max(0, start - CONTEXT), min(total, start + part + CONTEXT)
        projected_PD = torch.cat(
            [
                projected(samples, begin, min(begin + CONVOLVED, last), model, *moments)
                for begin in range(first, last, CONVOLVED)
            ]
        )
        states_PD = model.encoder(projected_PD[None]).last_hidden_state[0].float().cpu()
        yield states_PD[start - first : min(start + part, total) - first].clone()


def first_layer_moments(samples: FittedSound, model: Wav2Vec2Model) -> tuple[Tensor, Tensor]:
    """Mean and variance over a recording of what the first layer norms, (C,) each; at least 10 samples are needed."""
    conv = cast(nn.Conv1d, cast(Any, model.feature_extractor).conv_layers[0].conv)
    [kernel], [stride] = conv.kernel_size, conv.stride
    outputs = (len(samples) - kernel) // stride + 1
    sums_2C = torch.zeros(2, conv.out_channels, dtype=torch.float64)
    for first in range(0, outputs, NORM_BLOCK):
        last = min(first + NORM_BLOCK, outputs)
        heard = samples.piece(first * stride, (last - 1) * stride + kernel)
        convolved_CT = conv(torch.from_numpy(heard)[None].to(model.device, model.dtype)).cpu().double()
        sums_2C += torch.stack((convolved_CT.sum(dim=1), convolved_CT.square().sum(dim=1)))
    mean_C, square_C = sums_2C / outputs
    variance_C = (square_C - mean_C.square()).clamp(min=0)
    return mean_C.to(model.device, model.dtype), variance_C.to(model.device, model.dtype)


def projected(
    samples: FittedSound, begin: int, end: int, model: Wav2Vec2Model, mean_C: Tensor, variance_C: Tensor
) -> Tensor:
    """What the transformer is given at positions begin..end-1 of a recording with these moments, (P, D)."""
    heard = samples.piece(begin * SAMPLES_PER_POSITION, (end - 1) * SAMPLES_PER_POSITION + FIRST_SAMPLES)
    first, *others = cast(Any, model.feature_extractor).conv_layers
    hidden_1CT = first.conv(torch.from_numpy(heard)[None, None].to(model.device, model.dtype))
    norm = first.layer_norm
    hidden_1CT = F.batch_norm(hidden_1CT, mean_C, variance_C, norm.weight, norm.bias, eps=norm.eps)
    hidden_1CT = first.activation(hidden_1CT)
    for layer in others:
        hidden_1CT = layer(hidden_1CT)
    projected_1PD, _ = model.feature_projection(hidden_1CT.transpose(1, 2))
    return cast(Tensor, projected_1PD[0])


def load_wav2vec2(folder: Path) -> Wav2Vec2Model:
    """The network from a folder with `config.json` and `model.safetensors`.

    Returns:
        In float32, evaluation mode, without gradients.

    Raises:
        InputError: if it is not wav2vec2, or listing the tensors that are missing, unexpected or of another shape.
    """
    remedy = f"give config.json and model.safetensors of facebook/{WAV2VEC2}"
    try:
        config = Wav2Vec2Config.from_pretrained(folder, local_files_only=True)
        if config.model_type != "wav2vec2":
            raise InputError(f"{folder}: a {config.model_type} model; {remedy}")
        if config.feat_extract_norm != "group" or config.add_adapter:
            raise InputError(f"{folder}: a wav2vec2 of another architecture; {remedy}")
        loaded: Any = Wav2Vec2Model.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report
            dtype=torch.float32,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{folder}: not a readable wav2vec2 model; {remedy}") from error
    model, report = loaded
    wanted = shapes(model.state_dict())
    got = {name: shape for name, shape in wanted.items() if name not in report["missing_keys"]}
    got |= {name: tuple(found) for name, found, _ in report["mismatched_keys"]}
    strange = [name for name in report["unexpected_keys"] if not name.startswith(HEAD)]
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        got |= {name: tuple(file.get_slice(name).get_shape()) if name in file.keys() else () for name in strange}  # noqa: SIM118
    check_shapes(folder, got, {name: shape for name, shape in wanted.items() if name in got or name != MASK})
    return cast(Wav2Vec2Model, model.eval().requires_grad_(False))
