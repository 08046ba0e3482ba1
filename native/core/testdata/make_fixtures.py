"""Writes the small weight files that the core's tests read: one set of tensors in each of
torch.save's layouts. Usage: python make_fixtures.py (needs torch; writes beside itself)."""

import argparse
import collections
import pathlib

import torch

HERE = pathlib.Path(__file__).parent


def tensors():
    base = torch.arange(10, dtype=torch.float32)
    return {
        "weight": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 2 - 1,
        "transposed": torch.arange(6, dtype=torch.float32).reshape(2, 3).t(),
        "base": base,
        "every_second": base[2:8:2],
        "half": torch.tensor([1.0, -2.5, 65504.0], dtype=torch.float16),
        "brain": torch.tensor([1.0, -2.5, 3.0e38], dtype=torch.bfloat16),
        "double": torch.tensor([0.1, -0.2], dtype=torch.float64),
        "long": torch.tensor([-1, 2**40], dtype=torch.int64),
        "int": torch.tensor([-7, 7], dtype=torch.int32),
        "byte": torch.tensor([0, 255], dtype=torch.uint8),
        "flags": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "permuted": torch.arange(24, dtype=torch.float16).reshape(2, 3, 4).permute(2, 0, 1),
    }


def save(value, name, **options):
    torch.save(value, HERE / name, **options)


def main():
    plain = tensors()
    legacy = {"_use_new_zipfile_serialization": False}
    save(plain, "plain_zip.pt")
    save(plain, "plain_zip_protocol4.pt", pickle_protocol=4)
    save(plain, "plain_legacy.bin", **legacy)

    torch.manual_seed(0)
    module = torch.nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 2.0]]))
        module.bias.copy_(torch.tensor([3.0]))
    settings = argparse.Namespace(lr=1e-4, folders=["a", "b"], device=torch.device("cpu"))
    save({"state_dict": module.state_dict(), "epoch": 3, "config": settings}, "wrapped.pth")
    save({"state_dict": module.state_dict(), "epoch": 3, "config": settings}, "wrapped_legacy.pth",
         **legacy)
    ema = collections.OrderedDict((name, value + 10) for name, value in module.state_dict().items())
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    save({"model": module.state_dict(), "ema": ema, "opt": optimizer.state_dict(),
          "args": settings}, "training.pt")
    save(module, "whole_module.pt")


if __name__ == "__main__":
    main()
