"""Caching policies beside diffusers' own hooks: the forwards of a whole PixArt-alpha render under
the same policy on both sides, from the same weights, in turn.

A step goes straight along the guided prediction: what samplers add is the same for both and next to
nothing. Both sides must compute the same modules and come to the same latent.
"""

import copy

import torch
from diffusers import hooks
from diffusers.hooks.hooks import CacheContext, _set_cache_context

GUIDANCE = 4.5
STEPS = 20
MODULES = r"transformer_blocks\.\d+\.(attn1|attn2|ff)"

# Of each policy the engine's options, and how diffusers is told the same.
POLICIES = {
    "fbcache": {"threshold": 0.3},
    "taylorseer": {"interval": 2, "order": 1, "warm": 3},
    "pab": {"spatial_interval": 2, "cross_interval": 6, "window_low": 100, "window_high": 800,
            "mlp_layers": 0},
}


def apply(policy, module, dtype, now):
    """`now()` is the step's time, 0 .. 1000."""
    options = POLICIES[policy]
    if policy == "fbcache":
        hooks.apply_first_block_cache(
            module, hooks.FirstBlockCacheConfig(threshold=options["threshold"]))
    elif policy == "taylorseer":
        hooks.apply_taylorseer_cache(module, hooks.TaylorSeerCacheConfig(
            cache_interval=options["interval"], disable_cache_before_step=options["warm"],
            max_order=options["order"], taylor_factors_dtype=dtype, cache_identifiers=[MODULES]))
    elif policy == "pab":
        window = (options["window_low"], options["window_high"])
        hooks.apply_pyramid_attention_broadcast(module, hooks.PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=options["spatial_interval"],
            spatial_attention_timestep_skip_range=window,
            cross_attention_block_skip_range=options["cross_interval"],
            cross_attention_timestep_skip_range=window,
            current_timestep_callback=now))


class Steps:
    """All forwards of a render through diffusers."""

    def __init__(self, part, dtype, policy):
        self._part = part
        self._module = copy.deepcopy(part.module).to(dtype)
        self._inputs = {name: value.to(dtype) if value.is_floating_point() else value
                        for name, value in part.inputs.items()}
        self._dtype = dtype
        self._time = 0.0
        self.computed = 0
        if policy != "none":
            apply(policy, self._module, dtype, lambda: self._time)
        # Modules that really run: what a hook stands in for never gets here.
        for block in self._module.transformer_blocks:
            for name in ("attn1", "attn2", "ff"):
                inner = getattr(block, name)
                self._count(inner.to_out[0] if name != "ff" else inner.net[2])

    def _count(self, linear):
        def add(*_):
            self.computed += 1

        linear.register_forward_hook(add)

    def run(self):
        self.computed = 0
        hooks.HookRegistry.check_if_exists_or_initialize(self._module).reset_stateful_hooks()
        _set_cache_context(self._module, CacheContext("render"))
        latent = self._part.inputs["latent"].clone()
        with torch.inference_mode():
            for step in range(STEPS):
                self._time = 1000.0 * (STEPS - step) / STEPS
                given = {**self._inputs, "latent": latent.to(self._dtype),
                         "time": torch.tensor([self._time])}
                prediction = self._part.forward(self._module, given).float()[:, :4]
                conditional, unconditional = prediction.chunk(2)
                latent -= (unconditional + GUIDANCE * (conditional - unconditional)) / STEPS
        self.last = latent
