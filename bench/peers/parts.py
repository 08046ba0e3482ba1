"""The parts that both sides run: weights in the published layout, random but the same for both, the
inputs of one forward, and torch's module for it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import diffusers
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5EncoderModel

from stdit3 import STDiT3

diffusers.logging.set_verbosity_error()

HIDDEN, HEADS, DEPTH = 1152, 16, 4
PROMPT_TOKENS = 30  # of 120 or 300: what a short prompt has


@dataclass
class Part:
    """`forward(module, inputs)` gives what the engine's output is compared with."""

    name: str
    what: str
    module: torch.nn.Module
    folder: Path
    inputs: dict[str, torch.Tensor]
    forward: Callable
    dtypes: tuple[str, ...] = ("fp32", "bf16")

    @property
    def inputs_file(self):
        return self.folder / "inputs" / "inputs.safetensors"

    def write_inputs(self):
        self.inputs_file.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in self.inputs.items()},
                  self.inputs_file)


def seeded(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def saved(module, folder):
    """Written once; a second run reads the same weights."""
    if not (folder / "config.json").exists():
        module.save_pretrained(folder)
    else:
        module.load_state_dict(type(module).from_pretrained(folder).state_dict())
    return module.eval()


def halves(value):
    return torch.cat((value, value))


def stdit3(work, random_stdit3):
    folder = work / "stdit3"
    if not (folder / "config.json").exists():
        random_stdit3(folder, hidden=HIDDEN, heads=HEADS, depth=DEPTH // 2)
    config = json.loads((folder / "config.json").read_text())
    module = STDiT3(config)
    weights = load_file(folder / "model.safetensors")
    module.load_state_dict({name: value.float() for name, value in weights.items()})
    null = module.y_embedder.y_embedding
    inputs = {
        "latent": seeded(1, 4, 5, 30, 54),
        "caption": seeded(1, PROMPT_TOKENS, config["caption_channels"]),
        "mask": torch.ones(1, PROMPT_TOKENS, dtype=torch.int32),
        "time": torch.tensor([500.0]),
        "fps": torch.tensor([24.0]),
    }

    def forward(module, given):
        captions = torch.cat((given["caption"], null[None, :PROMPT_TOKENS].to(
            given["caption"].dtype)))
        return module(halves(given["latent"]), halves(given["time"]), halves(given["fps"]),
                      captions)

    what = "STDiT3, 2 + 2 blocks, 17 frames of 240 x 432"
    return Part("stdit3", what, module.eval(), folder, inputs, forward)


def pixart(work, name="pixart", depth=DEPTH, side=64):
    torch.manual_seed(1)
    module = diffusers.PixArtTransformer2DModel(
        num_layers=depth, sample_size=side, caption_channels=4096, use_additional_conditions=False
    )
    module = saved(module, work / name)
    inputs = {
        "latent": seeded(1, 4, 1, side, side),
        "caption": seeded(1, 120, 4096),
        "mask": (torch.arange(120) < PROMPT_TOKENS).int()[None],
        "negative": seeded(1, 120, 4096) * 0.5,
        "negative_mask": (torch.arange(120) < 1).int()[None],
        "time": torch.tensor([500.0]),
    }

    def forward(module, given):
        return module(
            halves(given["latent"].squeeze(2)),
            encoder_hidden_states=torch.cat((given["caption"], given["negative"])),
            encoder_attention_mask=torch.cat((given["mask"], given["negative_mask"])),
            timestep=halves(given["time"]),
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        ).sample.unsqueeze(2)

    what = f"PixArt-alpha, {depth} of 28 blocks, {8 * side} x {8 * side}"
    return Part(name, what, module, work / name, inputs, forward)


def dit(work):
    torch.manual_seed(2)
    module = diffusers.DiTTransformer2DModel(num_layers=DEPTH, sample_size=64)
    # As trained: one embedder of time and label for all blocks, and 128 frequencies from 1 to
    # 10000^(-127/128), where diffusers' stretches them to 1/10000.
    shared = module.transformer_blocks[0].norm1.emb
    for block in module.transformer_blocks:
        block.norm1.emb.load_state_dict(shared.state_dict())
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    module = saved(module, work / "dit")
    inputs = {
        "latent": seeded(1, 4, 1, 64, 64),
        "label": torch.tensor([7], dtype=torch.int32),
        "time": torch.tensor([500.0]),
    }

    def forward(module, given):
        labels = torch.tensor([int(given["label"]), 1000])
        return module(halves(given["latent"].squeeze(2)), timestep=halves(given["time"]),
                      class_labels=labels).sample.unsqueeze(2)

    what = f"DiT-XL/2, {DEPTH} of 28 blocks, 512 x 512"
    return Part("dit", what, module, work / "dit", inputs, forward)


def t5(work):
    torch.manual_seed(3)
    config = T5Config(d_model=4096, d_kv=64, d_ff=10240, num_heads=64, num_layers=2,
                      vocab_size=4096, feed_forward_proj="gated-gelu")
    module = saved(T5EncoderModel(config), work / "t5")
    inputs = {
        "ids": torch.arange(1, 301, dtype=torch.int32)[None],
        "mask": (torch.arange(300) < PROMPT_TOKENS).to(torch.uint8)[None],
    }

    def forward(module, given):
        return module(input_ids=given["ids"].long(),
                      attention_mask=given["mask"].long()).last_hidden_state

    what = "T5 v1.1 XXL encoder, 2 of 24 blocks, 300 tokens"
    return Part("t5", what, module, work / "t5", inputs, forward)


def image_vae(work):
    torch.manual_seed(4)
    widths = (128, 256, 512, 512)
    module = saved(
        diffusers.AutoencoderKL(
            block_out_channels=widths,
            layers_per_block=2,
            latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        ),
        work / "image-vae",
    )
    inputs = {"latent": seeded(1, 4, 1, 32, 32) * module.config.scaling_factor}

    def forward(module, given):
        latent = given["latent"].squeeze(2) / module.config.scaling_factor
        picture = module.decode(latent).sample.float()
        return ((picture * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1) * 255).round()

    return Part("image-vae", "AutoencoderKL, decode to 256 x 256", module, work / "image-vae",
                inputs, forward)
