"""One thread for small matrices: faster than many, and the same result to the bit whatever the machine offers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    import scipy.linalg  # noqa: F401  # compiled loops use its BLAS, which must be loaded to be found

    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run a block with one BLAS thread: the same bits on any number of cores, and small matrices are faster so."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch and BLAS use one thread inside the block: sums are then added in one order."""
    import torch  # one to two seconds, which processes that only calculate with BLAS need not spend

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with one_blas_thread():
            yield
    finally:
        torch.set_num_threads(before)
