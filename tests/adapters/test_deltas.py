"""What a delta adds, against the plain formula."""

import pytest
import torch

from flux_worker.adapters.deltas import Kronecker, LowRank, Part


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_rank_adds_the_product_in_float32(dtype):
    up, down = torch.randn(6, 2).to(dtype), torch.randn(2, 4).to(dtype)
    before = torch.randn(3, 4)
    weights = before.clone()
    LowRank((Part("a", slice(3, 6)),), up, down, 0.5).add_to(weights, slice(3, 6), -2.0)
    expected = before - (up.float() @ down.float())[3:6]
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-6)


def test_kronecker_adds_the_product():
    left, right = torch.randn(2, 2), torch.randn(3, 2)
    weights = torch.zeros(4, 4)
    Kronecker((Part("a", slice(1, 5)),), (left,), (right,), 3.0).add_to(weights, slice(1, 5), 0.5)
    torch.testing.assert_close(weights, 1.5 * torch.kron(left, right)[1:5])


def test_a_factor_may_be_a_product():
    left, first, second = torch.randn(2, 3), torch.randn(3, 1), torch.randn(1, 2)
    delta = Kronecker((Part("a", slice(0, 6)),), (left,), (first, second))
    assert (delta.shape, delta.rank) == ((6, 6), 1)
    weights = torch.zeros(6, 6)
    delta.add_to(weights, slice(0, 6), 1.0)
    torch.testing.assert_close(weights, torch.kron(left, first @ second))
