"""Small matrices are multiplied by one thread, and afterwards all is as it was."""

import torch
from threadpoolctl import threadpool_info

from models.threads import one_blas_thread, single_thread


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_inside_there_is_one_thread_and_outside_as_many_as_before():
    before, torch_before = blas_threads(), torch.get_num_threads()
    with single_thread():
        assert set(blas_threads()) == {1}
        assert torch.get_num_threads() == 1
    assert (blas_threads(), torch.get_num_threads()) == (before, torch_before)


def test_the_limit_ends_with_an_error_too():
    before = blas_threads()
    try:
        with one_blas_thread():
            assert set(blas_threads()) == {1}
            raise KeyError
    except KeyError:
        pass
    assert blas_threads() == before
