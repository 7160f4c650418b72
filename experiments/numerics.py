"""What of a machine decides the last bits: its processor or GPU, and the environment variables of the libraries.

By the standard library alone: it is sent to nodes, whatever they have.
"""

import csv
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

ANY = "any"
"""Stands for hardware that does not matter."""
CPUINFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
NO_GPU = "no GPU"
"""What a line begins with that tells no GPU, so that no trial can be trained on it."""

# What oneDNN chooses its code by, with the flags of Linux that each of them takes; XLA and the C library tell
# processors apart by some of the same.
_INSTRUCTIONS: Mapping[str, str] = {
    "sse41": "sse4_1",
    "avx": "avx",
    "avx2": "avx2",
    "fma": "fma",
    "avx2_vnni": "avx_vnni",
    "avx2_vnni_2": "avx_vnni avx_vnni_int8 avx_ne_convert",
    "avx512_core": "avx512f avx512bw avx512vl avx512dq",
    "avx512_core_vnni": "avx512f avx512bw avx512vl avx512dq avx512_vnni",
    "avx512_core_bf16": "avx512f avx512bw avx512vl avx512dq avx512_vnni avx512_bf16",
    "avx512_core_fp16": "avx512f avx512bw avx512vl avx512dq avx512_vnni avx512_bf16 avx512_fp16",
    "avx512_core_amx": "amx_tile amx_int8 amx_bf16",
    "avx512_core_amx_fp16": "amx_tile amx_fp16",
}
# What each limit of ONEDNN_MAX_CPU_ISA leaves; others than these leave less than everything.
_LIMITS: Mapping[str, str] = {
    "SSE41": "sse41",
    "AVX": "sse41 avx",
    "AVX2": "sse41 avx avx2 fma",
    "AVX2_VNNI": "sse41 avx avx2 fma avx2_vnni",
    "AVX2_VNNI_2": "sse41 avx avx2 fma avx2_vnni avx2_vnni_2",
    "AVX512_CORE": "sse41 avx avx2 fma avx512_core",
    "AVX512_CORE_VNNI": "sse41 avx avx2 fma avx512_core avx512_core_vnni",
    "AVX512_CORE_BF16": "sse41 avx avx2 fma avx512_core avx512_core_vnni avx512_core_bf16",
    "ALL": " ".join(_INSTRUCTIONS),
    "DEFAULT": " ".join(_INSTRUCTIONS),
}

_OF_GPUS = ("NVIDIA_TF32_OVERRIDE", "CUDNN_", "CUBLAS_", "CUBLASLT_", "TF_CUDNN_", "TF_CUBLAS_")
_OF_CPUS = ("ONEDNN_", "GLIBC_TUNABLES")
_OF_BOTH = ("XLA_FLAGS", "GLIBC_TUNABLES", "NVIDIA_TF32_OVERRIDE", "CUDNN_", "CUBLAS_", "CUBLASLT_")
# A variable of these families counts unless it is known to be harmless: one that is counted in vain costs epochs
# that are trained again, one that is missed gives two computations the same key. TF_ alone is Terraform's as well,
# and some of those are secrets.
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "tensorflow": (
        *("ONEDNN_", "DNNL_", "TF_AUTOTUNE_", "TF_AUTO_MIXED_PRECISION_", "TF_CONV2D_", "TF_CUBLAS_", "TF_CUDNN_"),
        *("TF_DETERMINISTIC_", "TF_DISABLE_", "TF_ENABLE_", "TF_FP16_", "TF_JITRT_", "TF_MATMUL_", "TF_MKL_"),
        *("TF_ONEDNN_", "TF_SET_ONEDNN_", "TF_USE_", "TF_XLA_"),
        *_OF_BOTH,
    ),
    "jax": ("JAX_", *_OF_BOTH),
}
# Logs, places and memory; and the device, which this project sets itself.
_HARMLESS = re.compile(
    r"TF_(DISABLE_PROFILING|ENABLE_GPU_GARBAGE_COLLECTION|USE_LEGACY_KERAS|CUDNN_VERSION)$|TF_AUTO_.*_LOG_PATH$"
    r"|ONEDNN_(VERBOSE|JIT_DUMP$|JIT_PROFILE|JITDUMPDIR$|PRIMITIVE_CACHE_CAPACITY$|GRAPH_)"
    r"|CU(DNN|BLAS|BLASLT)_(LOG|PATH|HOME|INCLUDE|LIB|VERSION)"
    r"|JAX_(LOG|TRACEBACK|DEBUG|COMPILATION_CACHE|PERSISTENT_CACHE|ENABLE_COMPILATION_CACHE|RAISE_PERSISTENT|EXPLAIN"
    r"|DUMP|PROFILER|DISTRIBUTED|COORDINATOR|TRANSFER_GUARD|CHECK_TRACER_LEAKS|PLATFORMS$|PLATFORM_NAME$"
    r"|NUM_CPU_DEVICES$|PGLE_)"
)
_DEFAULTS: Mapping[str, str] = {
    "TF_ENABLE_ONEDNN_OPTS": "true",  # every worker is given it
    "TF_DISABLE_MKL": "false",
    "TF_CUDNN_USE_AUTOTUNE": "true",
    "TF_CUDNN_DETERMINISTIC": "false",
    "TF_DETERMINISTIC_OPS": "false",
    "ONEDNN_DEFAULT_FPMATH_MODE": "strict",
    "ONEDNN_CPU_ISA_HINTS": "no_hints",
    "JAX_ENABLE_X64": "false",
    "JAX_DISABLE_JIT": "false",
    "JAX_DEFAULT_PRNG_IMPL": "threefry2x32",
    "JAX_NUMPY_DTYPE_PROMOTION": "standard",
    "JAX_NUMPY_RANK_PROMOTION": "allow",
    "JAX_THREEFRY_PARTITIONABLE": "true",
}
_BOOLEAN = {"0": "false", "1": "true", "false": "false", "true": "true"}


def environment(variables: Mapping[str, str], backend: str, hardware: str, gpu: bool) -> dict[str, str]:
    """Those of `variables` that decide numbers of `backend` on `hardware` (see the function of that name, or ANY).

    One way of writing for each value, and without those at their default: what gives the same numbers is equal.

    >>> environment({"TF_ENABLE_ONEDNN_OPTS": "False", "TF_CPP_MIN_LOG_LEVEL": "3"}, "tensorflow", ANY, gpu=False)
    {'TF_ENABLE_ONEDNN_OPTS': 'false'}
    """
    older = {name: name.replace("DNNL_", "ONEDNN_", 1) for name in variables if name.startswith("DNNL_")}
    newer = {name: value for name, value in variables.items() if name not in older}
    alike = {older[name]: variables[name] for name in older} | newer
    result = {}
    for name in sorted(name for name in deciding(alike) if name.startswith(_FAMILIES[backend])):
        written = _written(name, alike[name], hardware)
        of_others = name.startswith(_OF_CPUS if gpu else _OF_GPUS)
        if written and not of_others and _DEFAULTS.get(name) != written.lower():
            result[name] = written
    return result


def deciding(names: Iterable[str]) -> list[str]:
    """Those of the variables `names` that may decide numbers, of one backend or the other."""
    families = tuple(chain.from_iterable(_FAMILIES.values()))
    return [name for name in names if name.startswith(families) and not _HARMLESS.match(name)]


def _written(name: str, value: str, hardware: str) -> str:
    """The value as everybody would write it; empty where it changes nothing."""
    value = value.strip()
    if name.endswith("XLA_FLAGS"):
        return _flags(value)
    if name == "GLIBC_TUNABLES":
        return ":".join(sorted(part for part in value.split(":") if part.startswith("glibc.cpu.")))
    if name == "ONEDNN_MAX_CPU_ISA":
        usable, left = instructions_of(hardware), set(_LIMITS.get(value.upper(), "").split())
        return "" if usable and usable <= left else value.upper()
    return _BOOLEAN.get(value.lower(), value)


def _flags(value: str) -> str:
    """XLA's flags, the last of each name, in order of the names. A value that is no flag names a file of them."""
    if value and not value.startswith("-"):
        try:
            value = Path(value).read_text()
        except OSError:
            return value
    flags = {flag.partition("=")[0]: flag.partition("=")[2] or "true" for flag in value.split()}
    return " ".join(f"{name}={flags[name]}" for name in sorted(flags) if not name.startswith("--xla_dump_"))


def collect() -> dict[str, Any]:
    """Plain values: this machine's `processor`, its `gpu`, and the `variables` that may decide numbers."""
    variables = {name: os.environ[name] for name in deciding(os.environ)}
    return {"processor": processor(), "gpu": accelerator(), "variables": variables}


def hardware(gpu: bool) -> str:
    """What a trial of this machine is computed on, in one line: a GPU with its libraries, or the processor."""
    return accelerator() if gpu else processor()


@cache
def processor() -> str:
    """The processor of this machine."""
    try:
        information = CPUINFO.read_text()
    except OSError:
        information = ""
    return described(platform.machine(), information, _name(), _caches())


def described(architecture: str, cpuinfo: str, name: str, caches: Iterable[str]) -> str:
    """A processor in one line: how it computes where Linux tells in `cpuinfo`, or else its `name`.

    `caches` are the sizes of the first two levels, which the libraries cut matrices by.

    >>> described("x86_64", "flags : sse4_1 avx avx2 avx_vnni", "", ["48K", "2048K"])
    'x86_64 sse41 avx avx2 avx2_vnni, caches 48K 2048K'
    >>> described("arm64", "", "Apple M2", [])
    'arm64 Apple M2'
    """
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    present = set(flags[1].split()) if flags else set()
    classes = [label for label, needed in _INSTRUCTIONS.items() if set(needed.split()) <= present]
    parts = re.findall(r"^CPU (?:implementer|part)\s*:\s*(\S+)$", cpuinfo, re.MULTILINE)
    kind = " ".join(classes or sorted(set(parts)) or [name])
    return ", caches ".join(filter(None, (f"{architecture} {kind}".strip(), " ".join(caches))))


def instructions_of(hardware: str) -> set[str]:
    """The classes of instructions that a line of `described` names."""
    return set(re.findall(r"\w+", hardware)) & set(_INSTRUCTIONS)


def _caches() -> list[str]:
    """The sizes of the first level for data and of the second, empty where the system does not tell."""
    sizes = {}
    for index in sorted(CACHES.glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction" and level in ("1", "2"):
            sizes[level] = size
    return [sizes[level] for level in sorted(sizes)]


def _name() -> str:
    if platform.system() == "Darwin":
        return _output_of("sysctl", "-n", "machdep.cpu.brand_string").strip()
    return platform.processor()


@cache
def accelerator() -> str:
    """The GPU that a process of this machine would use, its driver, and the installed libraries of NVIDIA's."""
    table = _output_of(
        "nvidia-smi", "--query-gpu=uuid,name,driver_version,mig.mode.current", "--format=csv,noheader"
    )
    gpus = kinds(table, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if len(gpus) != 1:
        return f"{NO_GPU} of one kind ({' and '.join(gpus)})" if gpus else NO_GPU
    return ", ".join((*gpus, *libraries({d.metadata["Name"]: d.version for d in metadata.distributions()})))


def kinds(table: str, visible: str | None = None) -> list[str]:
    """Each kind of GPU in a table of nvidia-smi's (uuid, name, driver, mode of MIG), once and in order.

    Only those of `visible`, the value of CUDA_VISIBLE_DEVICES, where that names them by their uuid: CUDA and
    nvidia-smi need not count alike.

    >>> kinds("GPU-1a, NVIDIA A10G, 550.54.15, [N/A]")
    ['NVIDIA A10G, driver 550.54.15']
    """
    rows = [[cell.strip() for cell in row] for row in csv.reader(table.splitlines()) if len(row) == 4]
    named = [name for name in (visible or "").split(",") if name.startswith("GPU-")]
    if named:
        rows = [row for row in rows if any(row[0].startswith(name) for name in named)]
    described = (f"{name}{' (MIG)' if mig == 'Enabled' else ''}, driver {v}" for _, name, v, mig in rows)
    return list(dict.fromkeys(described))


def libraries(installed: Mapping[str, str]) -> list[str]:
    """Of the packages `installed`, name to version, those that compute on a GPU.

    >>> libraries({"nvidia-cudnn-cu12": "9.3.0.75", "numpy": "2.1.0"})
    ['cudnn 9.3.0.75']
    """
    wanted = {"cuda-runtime": "CUDA", "cublas": "cublas", "cudnn": "cudnn", "cuda-nvcc": "nvcc"}
    matched = {}
    for package, version in installed.items():
        name = re.fullmatch(r"nvidia[-_]([a-z_-]+?)([-_]cu\d+)?", (package or "").lower())
        if name and (label := wanted.get(name[1].replace("_", "-"))):
            matched[label] = version
    return [f"{label} {matched[label]}" for label in wanted.values() if label in matched]


def _output_of(*command: str) -> str:
    """The output of a command, empty where it is missing or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
