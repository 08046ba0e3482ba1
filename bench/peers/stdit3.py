"""STDiT3 (Open-Sora v1.2) of plain torch modules, under the published names of its weights, for
comparing speed and results. Latents [rows, 4, T, H, W] of even sides, every caption row kept.
"""

import math

import torch
from torch import nn
from torch.nn import functional


def modulate(x, shift, scale):
    return x * (1 + scale) + shift


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return functional.rms_norm(x, self.weight.shape, self.weight, 1e-6)


class Attention(nn.Module):
    """Self-attention of [batch, tokens, hidden], rotated where tables are given."""

    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.q_norm = RmsNorm(hidden // heads)
        self.k_norm = RmsNorm(hidden // heads)
        self.proj = nn.Linear(hidden, hidden)

    def forward(self, x, rotation=None):
        batch, tokens, hidden = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        if rotation is not None:
            q, k = rotate(q, *rotation), rotate(k, *rotation)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, hidden))


def rotate(x, cos, sin):
    """Neighbouring values are the two axes of a rotation; cos, sin: [tokens, width]."""
    pairs = x.unflatten(-1, (-1, 2))
    turned = torch.stack((-pairs[..., 1], pairs[..., 0]), dim=-1).flatten(-2)
    return x * cos + turned * sin


class CrossAttention(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.q_linear = nn.Linear(hidden, hidden)
        self.kv_linear = nn.Linear(hidden, 2 * hidden)
        self.proj = nn.Linear(hidden, hidden)

    def forward(self, x, text):
        batch, tokens, hidden = x.shape
        q = self.q_linear(x).view(batch, tokens, self.heads, -1).transpose(1, 2)
        kv = self.kv_linear(text).view(batch, text.shape[1], 2, self.heads, -1)
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, hidden))


class Mlp(nn.Module):
    def __init__(self, hidden, middle, out, activation="tanh"):
        super().__init__()
        self.fc1 = nn.Linear(hidden, middle)
        self.fc2 = nn.Linear(middle, out)
        self.approximate = activation

    def forward(self, x):
        return self.fc2(functional.gelu(self.fc1(x), approximate=self.approximate))


class Block(nn.Module):
    def __init__(self, hidden, heads, temporal):
        super().__init__()
        self.temporal = temporal
        self.scale_shift_table = nn.Parameter(torch.zeros(6, hidden))
        self.norm = nn.LayerNorm(hidden, eps=1e-6, elementwise_affine=False)
        self.attn = Attention(hidden, heads)
        self.cross_attn = CrossAttention(hidden, heads)
        self.mlp = Mlp(hidden, 4 * hidden, hidden)

    def forward(self, x, text, time, frames, rotation):
        vectors = (self.scale_shift_table + time.unflatten(1, (6, -1))).unsqueeze(2)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = vectors.unbind(1)
        modulated = modulate(self.norm(x), shift, scale)
        x = x + gate * self.attend(modulated, frames, rotation)
        x = x + self.cross_attn(x, text)
        return x + mlp_gate * self.mlp(modulate(self.norm(x), mlp_shift, mlp_scale))

    def attend(self, x, frames, rotation):
        rows, tokens, _ = x.shape
        grid = x.unflatten(1, (frames, -1))
        if not self.temporal:
            return self.attn(grid.flatten(0, 1)).view(rows, tokens, -1)
        columns = self.attn(grid.transpose(1, 2).flatten(0, 1), rotation)
        return columns.view(rows, -1, frames, x.shape[2]).transpose(1, 2).reshape(x.shape)


class Sinusoids(nn.Module):
    """A number as 256 cosines and sines, then two linear layers."""

    def __init__(self, hidden):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, hidden), nn.SiLU(), nn.Linear(hidden, hidden))

    def forward(self, values):
        frequencies = torch.exp(-math.log(10000) * torch.arange(128) / 128)
        angles = values[:, None] * frequencies
        embedded = torch.cat((angles.cos(), angles.sin()), dim=-1)
        return self.mlp(embedded.to(self.mlp[0].weight.dtype))


class Holder(nn.Module):
    """Only gives its modules the published names."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)


class FinalLayer(nn.Module):
    def __init__(self, hidden, out):
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.zeros(2, hidden))
        self.norm = nn.LayerNorm(hidden, eps=1e-6, elementwise_affine=False)
        self.linear = nn.Linear(hidden, out)

    def forward(self, x, time):
        shift, scale = (self.scale_shift_table + time[:, None]).unsqueeze(2).unbind(1)
        return self.linear(modulate(self.norm(x), shift, scale))


class STDiT3(nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden, heads = config["hidden_size"], config["num_heads"]
        self.config = config
        self.x_embedder = Holder(proj=nn.Conv3d(4, hidden, (1, 2, 2), (1, 2, 2)))
        self.t_embedder = Sinusoids(hidden)
        self.fps_embedder = Sinusoids(hidden)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 6 * hidden))
        self.y_embedder = Holder(y_proj=Mlp(config["caption_channels"], hidden, hidden))
        null = torch.zeros(config["model_max_length"], config["caption_channels"])
        self.y_embedder.register_buffer("y_embedding", null)
        layers = range(config["depth"])
        self.spatial_blocks = nn.ModuleList(Block(hidden, heads, False) for _ in layers)
        self.temporal_blocks = nn.ModuleList(Block(hidden, heads, True) for _ in layers)
        self.final_layer = FinalLayer(hidden, 32)

    def forward(self, latent, time, fps, captions):
        rows, _, frames, height, width = latent.shape
        x = self.x_embedder.proj(latent).flatten(3).permute(0, 2, 3, 1)  # [rows, T, S, C]
        x = (x + self.positions(height // 2, width // 2).to(x.dtype)).flatten(1, 2)
        embedded = self.t_embedder(time) + self.fps_embedder(fps)
        steering = self.t_block(embedded)
        text = self.y_embedder.y_proj(captions)
        rotation = self.rotation(frames, x.dtype)
        for spatial, temporal in zip(self.spatial_blocks, self.temporal_blocks):
            x = spatial(x, text, steering, frames, None)
            x = temporal(x, text, steering, frames, rotation)
        patches = self.final_layer(x, embedded)
        grid = patches.view(rows, frames, height // 2, width // 2, 2, 2, 8)
        return grid.permute(0, 6, 1, 2, 4, 3, 5).reshape(rows, 8, frames, height, width)

    def rotation(self, frames, dtype):
        width = self.config["hidden_size"] // self.config["num_heads"]
        frequencies = 10000.0 ** (-torch.arange(0, width, 2) / width)
        angles = torch.arange(frames)[:, None] * frequencies.repeat_interleave(2)
        return angles.cos().to(dtype), angles.sin().to(dtype)

    def positions(self, height, width):
        """[height * width, hidden]: sines and cosines of columns, then of rows."""
        scale = math.sqrt(64 * 4 * height * width) / self.config["input_sq_size"]
        base = round(math.sqrt(height * width))
        quarter = self.config["hidden_size"] // 4
        frequencies = 10000.0 ** (-torch.arange(quarter) / quarter)

        def axis(count):
            angles = (torch.arange(count) / scale * (base / count))[:, None] * frequencies
            return torch.cat((angles.sin(), angles.cos()), dim=-1)

        columns = axis(width)[None].expand(height, -1, -1)
        lines = axis(height)[:, None].expand(-1, width, -1)
        return torch.cat((columns, lines), dim=-1).flatten(0, 1)
