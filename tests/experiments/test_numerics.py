"""What of a machine decides numbers, read from what machines say of themselves."""

from pathlib import Path

import pytest

from experiments import numerics
from experiments.numerics import ANY, environment

ZEN5 = (
    "processor : 0\nflags\t\t: fpu sse2 sse4_1 avx fma avx2 avx512f avx512dq avx512bw avx512vl avx_vnni "
    "avx512_bf16 avx512_vnni\n\nprocessor : 1\nflags\t\t: fpu\n"
)
HASWELL = "flags : sse4_1 sse4_2 fma avx avx2 bmi2"
NEW = "x86_64 sse41 avx avx2 fma avx2_vnni avx512_core avx512_core_vnni avx512_core_bf16, caches 48K 1024K"
OLD = "x86_64 sse41 avx avx2 fma, caches 32K 256K"


@pytest.mark.parametrize(
    ("cpuinfo", "caches", "line"),
    [
        (ZEN5, ["48K", "1024K"], NEW),
        (HASWELL, ["32K", "256K"], OLD),
        # Without one of its four flags there is no avx512_core, nor what builds on it.
        ("flags : sse4_1 avx512f avx512bw avx512vl avx512_vnni", [], "x86_64 sse41"),
        ("", ["32K"], "x86_64 a name, caches 32K"),
    ],
)
def test_a_processor_is_told_by_the_code_that_libraries_choose_for_it(
    cpuinfo: str, caches: list[str], line: str
) -> None:
    assert numerics.described("x86_64", cpuinfo, "a name", caches) == line


def test_an_arm_processor_is_told_by_its_part_number() -> None:
    cpuinfo = "CPU implementer\t: 0x41\nFeatures : asimd sve\nCPU part\t: 0xd40\nCPU part : 0xd40\n"
    assert numerics.described("aarch64", cpuinfo, "", []) == "aarch64 0x41 0xd40"


def test_this_machine_has_a_line_and_it_stays_the_same() -> None:
    assert numerics.hardware(gpu=False) == numerics.hardware(gpu=False) == numerics.collect()["processor"]
    assert numerics.hardware(gpu=False).strip()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TF_CPP_MIN_LOG_LEVEL", "0"),
        ("TF_FORCE_GPU_ALLOW_GROWTH", "true"),
        ("ONEDNN_VERBOSE", "1"),
        ("ONEDNN_VERBOSE_TIMESTAMP", "1"),
        ("TF_NUM_INTRAOP_THREADS", "8"),
        ("XLA_FLAGS", "--xla_dump_to=/tmp/somewhere"),
        ("XLA_PYTHON_CLIENT_PREALLOCATE", "false"),
        ("GLIBC_TUNABLES", "glibc.malloc.check=3"),
        ("JAX_ENABLE_X64", "1"),
        ("NVIDIA_TF32_OVERRIDE", "0"),
        ("TF_CUDNN_USE_FRONTEND", "1"),
        ("HOME", "/home/somebody"),
        ("TF_TOKEN_app_terraform_io", "a secret"),
        ("TF_CLI_CONFIG_FILE", "/home/somebody/.terraformrc"),
        # At their defaults
        ("TF_ENABLE_ONEDNN_OPTS", "1"),
        ("TF_ENABLE_ONEDNN_OPTS", "True"),
        ("TF_ENABLE_ONEDNN_OPTS", ""),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "STRICT"),
        ("DNNL_DEFAULT_FPMATH_MODE", "strict"),
        ("ONEDNN_MAX_CPU_ISA", "ALL"),
        ("ONEDNN_MAX_CPU_ISA", "avx2"),
        ("DNNL_MAX_CPU_ISA", "AVX512_CORE"),
    ],
)
def test_variables_that_change_nothing_on_an_old_processor_do_not_count(name: str, value: str) -> None:
    assert environment({name: value}, "tensorflow", OLD, gpu=False) == {}


@pytest.mark.parametrize(
    ("name", "value", "counted"),
    [
        ("TF_ENABLE_ONEDNN_OPTS", "0", {"TF_ENABLE_ONEDNN_OPTS": "false"}),
        ("TF_ENABLE_ONEDNN_OPTS", "FALSE", {"TF_ENABLE_ONEDNN_OPTS": "false"}),
        ("ONEDNN_MAX_CPU_ISA", "avx2", {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
        ("DNNL_MAX_CPU_ISA", "AVX2", {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16", {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}),
        ("TF_ONEDNN_ASSUME_FROZEN_WEIGHTS", "1", {"TF_ONEDNN_ASSUME_FROZEN_WEIGHTS": "true"}),
        ("TF_USE_WHAT_COMES_TOMORROW", "2", {"TF_USE_WHAT_COMES_TOMORROW": "2"}),
        ("TF_XLA_FLAGS", "--tf_xla_auto_jit=2", {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2"}),
        ("GLIBC_TUNABLES", "glibc.malloc.check=3:glibc.cpu.x=-FMA", {"GLIBC_TUNABLES": "glibc.cpu.x=-FMA"}),
    ],
)  # fmt: skip
def test_variables_that_decide_numbers_count_in_one_way_of_writing(
    name: str, value: str, counted: dict[str, str]
) -> None:
    assert environment({name: value}, "tensorflow", NEW, gpu=False) == counted


def test_of_two_names_for_one_variable_the_newer_counts() -> None:
    both = {"DNNL_MAX_CPU_ISA": "AVX", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    assert environment(both, "tensorflow", NEW, gpu=False) == {"ONEDNN_MAX_CPU_ISA": "AVX2"}


def test_a_limit_counts_where_nobody_knows_the_processor() -> None:
    assert environment({"ONEDNN_MAX_CPU_ISA": "AVX2"}, "tensorflow", ANY, gpu=False) == {
        "ONEDNN_MAX_CPU_ISA": "AVX2"
    }


def test_flags_of_xla_are_a_set_of_the_last_of_each(tmp_path: Path) -> None:
    def flags(value: str) -> dict[str, str]:
        return environment({"XLA_FLAGS": value}, "jax", NEW, gpu=False)

    assert flags("--b=2 --a") == flags(" --a=true  --b=1 --b=2 --xla_dump_to=x") == {"XLA_FLAGS": "--a=true --b=2"}
    file = tmp_path / "flags"
    file.write_text("--a\n--b=2")
    assert flags(str(file)) == flags("--a --b=2")
    file.write_text("--a\n--b=3")
    assert flags(str(file)) == flags("--a --b=3")


def test_variables_of_another_backend_or_device_do_not_count() -> None:
    variables = {
        "JAX_ENABLE_X64": "1",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "NVIDIA_TF32_OVERRIDE": "0",
        "JAX_PLATFORMS": "cpu",
    }
    assert environment(variables, "jax", NEW, gpu=False) == {"JAX_ENABLE_X64": "true"}
    assert environment(variables, "jax", "a GPU", gpu=True) == {
        "JAX_ENABLE_X64": "true",
        "NVIDIA_TF32_OVERRIDE": "false",
    }
    assert "ONEDNN_DEFAULT_FPMATH_MODE" not in environment(
        {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}, "tensorflow", "a GPU", gpu=True
    )


TABLE = """GPU-1a2b, NVIDIA H100 80GB HBM3, 550.54.15, Disabled
GPU-9f8e, NVIDIA H100 80GB HBM3, 550.54.15, Disabled
"""
MIXED = TABLE + "GPU-77, NVIDIA A10G, 550.54.15, [N/A]\n"
H100, A10G = "NVIDIA H100 80GB HBM3, driver 550.54.15", "NVIDIA A10G, driver 550.54.15"


@pytest.mark.parametrize(
    ("table", "visible", "kinds"),
    [
        (TABLE, None, [H100]),
        (TABLE, "1", [H100]),
        (MIXED, None, [H100, A10G]),
        # CUDA may count them in another order.
        (MIXED, "2", [H100, A10G]),
        (MIXED, "GPU-77", [A10G]),
        ("GPU-1, NVIDIA H100 80GB HBM3, 550.54.15, Enabled\n", None, [H100.replace(",", " (MIG),")]),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", None, []),
        ("", None, []),
    ],
)  # fmt: skip
def test_gpus_are_told_by_their_kind(table: str, visible: str | None, kinds: list[str]) -> None:
    assert numerics.kinds(table, visible) == kinds


def test_libraries_of_gpus_are_told_by_their_packages() -> None:
    installed = {
        "nvidia-cudnn-cu12": "9.3.0.75",
        "nvidia_cublas_cu12": "12.5.3.2",
        "nvidia-cuda-runtime-cu12": "12.5.82",
        "nvidia-cuda-nvcc-cu12": "12.5.82",
        "nvidia-nccl-cu12": "2.25.1",
        "keras": "3.15.1",
    }
    assert numerics.libraries(installed) == ["CUDA 12.5.82", "cublas 12.5.3.2", "cudnn 9.3.0.75", "nvcc 12.5.82"]
    assert numerics.libraries({"nvidia-cudnn": "9.3.0.75"}) == ["cudnn 9.3.0.75"]
