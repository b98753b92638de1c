"""A kind of block, compiled ahead of time for every length, on weights of its own."""

import pytest
import torch

from flux_worker.engine import block_packages


@pytest.fixture(scope="module")
def package(pipe, tmp_path_factory):
    """The single blocks' package, built from the first of them."""
    block = pipe.transformer.single_transformer_blocks[0]
    path = tmp_path_factory.mktemp("packages") / "single.pt2"
    calls = block_packages.example_calls(pipe.transformer)
    block_packages.build(block, calls[type(block).__name__], "native", path)
    return path


def test_blocks_come_in_the_order_in_which_they_run(pipe):
    ran = []
    hooks = [
        block.register_forward_pre_hook(lambda block, _: ran.append(block))
        for block in block_packages.blocks(pipe.transformer)
    ]
    block_packages.example_calls(pipe.transformer)
    for hook in hooks:
        hook.remove()
    assert ran == list(block_packages.blocks(pipe.transformer))


def test_example_calls_can_be_shorter(pipe):
    calls, shorter = (block_packages.example_calls(pipe.transformer, by) for by in (0, 13))
    assert set(calls) == set(shorter)
    assert len(calls) == 2
    for kind in calls:
        text, image = (
            calls[kind][name].shape[1] - shorter[kind][name].shape[1]
            for name in ("encoder_hidden_states", "hidden_states")
        )
        assert (text, image) == (13, 26)


def test_a_package_runs_each_block_on_its_own_weights_at_other_lengths(pipe, package):
    calls = block_packages.example_calls(pipe.transformer, shorter=13)
    first, second = pipe.transformer.single_transformer_blocks[:2]
    call = calls[type(first).__name__]
    for block in (first, second):
        block_packages.compare(block, package, call)
    with torch.no_grad():
        one, other = (block_packages.load(block, package)(**call)[1] for block in (first, second))
    assert not torch.allclose(one, other)


def test_a_package_that_computes_something_else_is_found_out(pipe, package):
    block = pipe.transformer.single_transformer_blocks[0]
    call = block_packages.example_calls(pipe.transformer)[type(block).__name__]
    block_packages.compare(block, package, call)
    hook = block.register_forward_hook(
        lambda _, __, outputs: tuple(1.03 * output for output in outputs)
    )
    try:
        with pytest.raises(ArithmeticError, match=r"the package of \w+ is 3% off"):
            block_packages.compare(block, package, call)
    finally:
        hook.remove()
