"""What a machine can do for a training, and what would stop it."""

import importlib
import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from adafer.tokens import TOKENS, find_token

Verdict = Literal["pass", "warn", "fail"]

LEAST_DISK = 2.0
"""Gigabytes that a run's folder, its checkpoints and an export may need."""
LEAST_MEMORY = 4.0
"""Gigabytes below which only small sets of small faces fit."""
EXTRAS = {
    "hub": ("datasets",),
    "explain": ("captum", "shap"),
    "labels": ("cleanlab",),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
    "tensorboard": ("tensorboard",),
}
"""Extra to the packages that it brings."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at, what was found, and what to do about it."""

    name: str
    verdict: Verdict
    said: str
    todo: str = ""
    of_machine: bool = False


def machine_checks(runs: Path) -> list[Check]:
    """Look at Python, torch, the accelerator, memory, disk, extras and trackers."""
    return [
        _python(),
        _vision(),
        _accelerator(),
        _memory(),
        _disk(runs),
        _extras(),
        _trackers(),
    ]


def _check(name: str, verdict: Verdict, said: str, todo: str = "") -> Check:
    return Check(name=name, verdict=verdict, said=said, todo=todo, of_machine=True)


def _python() -> Check:
    said = f"Python {platform.python_version()}, torch {torch.__version__}, {platform.system()}"
    return _check("python", "pass", said)


def _vision() -> Check:
    """A torch for the CPU beside a torchvision for CUDA dies at the first import of timm."""
    try:
        found = importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:
        return _check(
            "torchvision",
            "fail",
            f"torchvision does not load beside torch {torch.__version__} "
            f"({' '.join(str(error).split())[:120]})",
            "install both anew from one place: pip install --force-reinstall torch torchvision",
        )
    return _check("torchvision", "pass", f"torchvision {found.__version__} loads")


def _accelerator() -> Check:
    if torch.cuda.is_available():
        return _cuda()
    threads = torch.get_num_threads()
    if torch.backends.mps.is_available():
        return _check("accelerator", "pass", "Apple GPU (mps)")
    return _check(
        "accelerator",
        "pass",
        f"no GPU; {threads} {'thread' if threads == 1 else 'threads'} on {os.cpu_count()} cores",
        "small faces (--img-size 48) and --precision bf16 help where the CPU has it",
    )


def _cuda() -> Check:
    name = torch.cuda.get_device_name()
    major, minor = torch.cuda.get_device_capability()
    built = torch.cuda.get_arch_list()
    gigabytes = torch.cuda.get_device_properties(0).total_memory / 1e9
    count = torch.cuda.device_count()
    several = f"{count} x " if count > 1 else ""  # a training takes them all
    said = f"{several}{name}, {gigabytes:.0f} GB, sm_{major}{minor}; torch was built for "
    said += " ".join(built)
    if not runs_on(major, minor, built):
        return _check(
            "accelerator",
            "fail",
            said,
            "this torch has no kernels for this GPU: install torch 2.7.1 (the last for a P100), "
            "choose another accelerator, or train with --device cpu",
        )
    return _check("accelerator", "pass", said)


def runs_on(major: int, minor: int, built: list[str]) -> bool:
    """Whether a torch built for these architectures runs on a GPU of this capability.

    Machine code runs on the same major version from its minor on; intermediate code (`compute_`)
    on anything newer.
    """
    for entry in built:
        kind, _, digits = entry.partition("_")
        number = int("".join(c for c in digits if c.isdigit()) or 0)
        own = (number // 10, number % 10)
        if kind == "compute" and own <= (major, minor):
            return True
        if kind == "sm" and own[0] == major and own[1] <= minor:
            return True
    return False


def _memory() -> Check:
    names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
    if "SC_PHYS_PAGES" not in names:
        return _check("memory", "pass", "the system does not say how much there is")
    gigabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    if gigabytes < LEAST_MEMORY:
        return _check(
            "memory", "warn", f"{gigabytes:.1f} GB",
            "faces are kept in memory: use a smaller --img-size or fewer faces",
        )  # fmt: skip
    return _check("memory", "pass", f"{gigabytes:.0f} GB")


def _disk(runs: Path) -> Check:
    there = next(path for path in (runs, *runs.resolve().parents) if path.exists())
    if not os.access(there, os.W_OK):
        return _check(
            "disk", "fail", f"'{there}' cannot be written to", "choose a folder with --runs"
        )
    gigabytes = shutil.disk_usage(there).free / 1e9
    if gigabytes < LEAST_DISK:
        return _check(
            "disk", "warn", f"{gigabytes:.1f} GB free in '{there}'",
            "free space, or choose a folder with --runs",
        )  # fmt: skip
    return _check("disk", "pass", f"{gigabytes:.0f} GB free in '{there}'")


def _extras() -> Check:
    missing = [
        name
        for name, packages in EXTRAS.items()
        if not all(importlib.util.find_spec(package) for package in packages)
    ]
    there = [name for name in EXTRAS if name not in missing]
    said = f"extras here: {', '.join(there) or 'none'}"
    todo = f"pip install 'adafer[{','.join(missing)}]' for the others" if missing else ""
    return _check("extras", "pass", said, todo)


def _trackers() -> Check:
    found = {name: find_token(name) for name in TOKENS}
    told = [
        f"{name} {token.told or 'not set'}" if token.value is None else f"{name} set, {token.told}"
        for name, token in found.items()
    ]
    return _check("secrets", "pass", "; ".join(told))
