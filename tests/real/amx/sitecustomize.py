"""Asks the kernel for AMX's tiles at the start of each Python process.

Linux gives them to who asks (arch_prctl, since 5.16), and ends with SIGILL who uses them unasked. On processors that
have them vLLM 0.32 uses them for attention (v1/attention/backends/cpu_attn.py) and asks nobody: oneDNN does, in models
whose matrices are large enough for it, which the tests' are not. Elsewhere the call fails, and nothing follows.
"""

import ctypes

ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA = 158, 0x1023, 18
ctypes.CDLL(None).syscall(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA)
