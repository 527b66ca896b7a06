"""Where figures were measured, and with what."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS


def processor() -> str:
    """Its name, as Linux knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = dict(part.split(":", 1) for part in (line.replace("\t", "") for line in lines) if ":" in part)
    return named.get("model name", platform.machine()).strip()


def blas() -> str:
    """NumPy's library for matrix products and the kernels it chose here."""
    import numpy  # noqa: F401
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "not known without threadpoolctl"
    return ", ".join(f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip()
                     for pool in threadpool_info() if pool["user_api"] == "blas")


def versions() -> dict[str, str]:
    """Of every package that a peer needs, if installed."""
    found = {}
    for name in ["numpy", "scipy", *dict.fromkeys(need for peer in PEERS.values() for need in peer.needs)]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def described() -> dict[str, Any]:
    """Processor, cores, system, Python, BLAS, versions."""
    return dict(processor=processor(), cores=len(os.sched_getaffinity(0)), system=platform.platform(),
                python=platform.python_version(), blas=blas(), versions=versions())


def in_words(machine: dict[str, Any]) -> str:
    """The description in two lines."""
    packages = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}, "
            f"{machine['blas']}\n{packages}")
