"""How vLLM's processes start on a CPU: on the path of a Python that starts them (`vllm_cpu.ON_CPUS`), which imports it.

Workers are forks of the engine, as on CUDA: for a CPU vLLM asks for new ones, each of which imports torch again, some
fifteen seconds of processor time. And the kernel is asked for AMX's tiles: Linux gives them to who asks (arch_prctl,
since 5.16), and ends with SIGILL who uses them unasked. On processors that have them vLLM 0.32 uses them for attention
(v1/attention/backends/cpu_attn.py) and asks nobody: oneDNN does, in models whose matrices are large enough for it, as
the tests' are not. Elsewhere the call fails, and nothing follows.
"""

import ctypes
import multiprocessing

ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA = 158, 0x1023, 18
ctypes.CDLL(None).syscall(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA)

new = multiprocessing.get_context


def context(method: str | None = None) -> object:
    """A fork, but of the API server: what it forks leaves it pages to copy, ten milliseconds of its first answers."""
    return new("fork" if method == "spawn" and multiprocessing.parent_process() else method)


multiprocessing.get_context = context
