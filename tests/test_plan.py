"""How the model runs on each card, and what it is predicted to take."""

import weakref

import pytest
import torch
from conftest import DEMO, ROOT
from diffusers import AutoencoderKL, FluxTransformer2DModel
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from flux_worker import headers, plan
from flux_worker.errors import CannotStart
from flux_worker.plan import GIB, Card, Plan
from flux_worker.settings import Settings

FLUX = headers.Parameters(  # FLUX.1-dev's
    block_layers=8_606_711_808,
    modulation=3_227_516_928,
    transformer_rest=67_179_584,
    largest_block=339_739_136,
    text_encoder=4_762_310_656,
    small_components=206_879_494,
)
CARDS = {  # compute capability, GiB that the driver reports
    "RTX 4080": ((8, 9), 15.6),
    "L4": ((8, 9), 22.0),
    "RTX 4090": ((8, 9), 23.5),
    "RTX 3090": ((8, 6), 23.6),
    "RTX 5090": ((12, 0), 31.4),
    "A100 40 GB": ((8, 0), 39.4),
    "A40": ((8, 6), 44.4),
    "A6000": ((8, 6), 47.5),
    "L40S": ((8, 9), 44.4),
    "A100 80 GB": ((8, 0), 79.2),
    "H100": ((9, 0), 79.2),
    "RTX 6000 Blackwell": ((12, 0), 94.9),
    "H200": ((9, 0), 139.8),
    "B200": ((10, 0), 178.4),
}


def card(name, **given):
    capability, memory = CARDS[name]
    return Card(name, capability, int(memory * GIB), **given)


def choose(name, on=None, **settings):
    return plan.choose(on or card(name), FLUX, Settings(**settings))


@pytest.mark.parametrize("name", ["A100 40 GB", "A40", "A6000", "L40S", "A100 80 GB", "H100"])
def test_from_40_gb_on_everything_is_exact_and_resident(name):
    chosen = choose(name)
    assert (chosen.precision, chosen.text_encoder, chosen.transformer) == (
        *("bf16", "resident", "resident"),
    )
    assert not chosen.vae_tiling
    assert chosen.compile


@pytest.mark.parametrize("name", ["RTX 6000 Blackwell", "H200", "B200"])
def test_a_big_card_is_exact_unless_told_otherwise(name):
    assert choose(name).precision == "bf16"
    chosen = choose(name, precision="fp8")
    assert (chosen.precision, chosen.text_encoder, chosen.fp8_modulation) == (
        *("fp8", "resident", False),
    )


def test_at_32_gb_only_the_blocks_are_fp8():
    chosen = choose("RTX 5090")
    assert (chosen.precision, chosen.fp8_activations) == ("fp8", True)
    assert (chosen.text_encoder, chosen.transformer) == ("resident", "resident")
    assert not chosen.fp8_modulation


@pytest.mark.parametrize("name", ["L4", "RTX 4090", "RTX 3090"])
def test_at_24_gb_t5_is_fp8_too_and_the_vae_is_tiled(name):
    chosen = choose(name)
    assert (chosen.precision, chosen.text_encoder, chosen.transformer) == (
        *("fp8", "fp8", "resident"),
    )
    assert chosen.vae_tiling
    assert not chosen.fp8_modulation
    assert chosen.fp8_activations == (name != "RTX 3090")  # Ampere has no fp8 units


def test_at_16_gb_t5_waits_in_host_memory_and_the_modulation_is_fp8_too():
    chosen = choose("RTX 4080")
    assert (chosen.precision, chosen.text_encoder, chosen.transformer) == (
        *("fp8", "offloaded", "resident"),
    )
    assert chosen.fp8_modulation
    assert chosen.compile


def test_a_smaller_card_gets_its_blocks_one_by_one():
    chosen = choose("12 GB", Card("12 GB", (8, 9), int(11.6 * GIB)))
    assert (chosen.precision, chosen.transformer) == ("fp8", "streamed")
    assert not chosen.compile
    assert not chosen.fp8_activations


def test_at_32_gb_exact_is_to_be_had_for_a_slower_t5():
    chosen = choose("RTX 5090", precision="bf16")
    assert (chosen.text_encoder, chosen.transformer) == ("offloaded", "resident")


def row(name):
    chosen = choose(name)
    precision = chosen.precision + (", modulation too" if chosen.fp8_modulation else "")
    if chosen.precision == "fp8" and not chosen.fp8_activations:
        precision += ", weights only"
    vae = "tiled" if chosen.vae_tiling else "whole"
    sizes = (f"{CARDS[name][1]:.1f}", f"{chosen.peak / GIB:.1f}")
    cells = (name, sizes[0], precision, chosen.text_encoder, vae, chosen.attention, sizes[1])
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", CARDS)
def test_the_documented_plan_is_the_one_that_is_chosen(name):
    assert row(name) in (ROOT / "docs/performance.md").read_text().splitlines()


def test_every_plan_fits_the_card_with_room_to_spare():
    for name in CARDS:
        chosen = choose(name)
        assert chosen.peak + plan.MARGIN <= card(name).memory, name


@pytest.mark.parametrize(
    ("name", "installed", "expected"),
    [
        ("H100", (), "cudnn"),
        ("H100", ("flash3",), "flash3"),
        ("B200", ("flash3",), "cudnn"),
        ("B200", ("flash3", "flash4"), "flash4"),
        ("RTX 4090", ("flash3", "flash4"), "native"),
        ("A100 80 GB", (), "native"),
    ],
)
def test_the_attention_is_what_the_card_does_best(name, installed, expected):
    assert choose(name, card(name, flash=frozenset(installed))).attention == expected


def test_what_is_asked_for_is_done():
    assert choose("H100", attention="native").attention == "native"
    assert not choose("H100", compile=False).compile
    assert choose("H100", offload="text_encoder").text_encoder == "offloaded"
    assert choose("H100", offload="transformer").transformer == "streamed"
    assert choose("RTX 4090", precision="bf16").transformer == "streamed"


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        (
            "RTX 4090",
            {"precision": "bf16", "offload": "none"},
            r"The RTX 4090 has 23\.5 GiB, and PRECISION=bf16 with OFFLOAD=none needs about 33\.\d\."
            r" What fits: transformer fp8",
        ),
        ("RTX 4080", {"offload": "none"}, r"needs about 18\.\d\. What fits: .*T5 offloaded"),
        ("H100", {"attention": "flash3"}, "needs its package"),
        ("H100", {"offload": "transformer", "compile": True}, "There is no such plan as .*COMPILE"),
    ],
)
def test_what_is_impossible_is_said_with_what_fits(name, settings, says):
    with pytest.raises(CannotStart, match=says):
        choose(name, **settings)


def test_compiling_without_a_compiler_is_an_error_only_if_asked_for():
    bare = card("H100", compiler=False)
    assert not choose("H100", bare).compile
    with pytest.raises(CannotStart, match="needs a C compiler"):
        choose("H100", bare, compile=True)


def test_a_card_that_is_too_small_is_said_so():
    with pytest.raises(CannotStart, match="choose a card with more memory"):
        choose("tiny", Card("tiny", (8, 6), 3 * GIB))


def test_a_cpu_computes_in_float32_and_refuses_what_only_a_gpu_can():
    assert plan.for_cpu(Settings()) == Plan("fp32")
    assert plan.for_cpu(Settings(compile=True)).compile
    with pytest.raises(CannotStart, match="OFFLOAD=transformer needs a GPU"):
        plan.for_cpu(Settings(offload="transformer"))


def test_the_plan_is_one_line():
    line = str(choose("RTX 4090"))
    assert line == (
        "transformer fp8 (activations and weights), resident, T5 fp8, VAE tiled, attention native, "
        "compiled; peak about 19.8 GiB"
    )


def test_the_weights_are_counted_from_their_headers(pipe):
    counted = headers.count(DEMO)
    transformer = pipe.transformer
    assert counted.transformer == sum(p.numel() for p in transformer.parameters())
    blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
    layers = {
        name: module
        for block in blocks
        for name, module in block.named_modules(prefix=str(id(block)))
        if isinstance(module, torch.nn.Linear)
    }
    modulation = [module for name, module in layers.items() if "norm" in name]
    assert counted.modulation == sum(module.weight.numel() for module in modulation)
    everything = sum(module.weight.numel() for module in layers.values())
    assert counted.block_layers == everything - counted.modulation
    encoder = sum(p.numel() for p in pipe.text_encoder_2.parameters())
    assert counted.text_encoder == pytest.approx(encoder, rel=0.2)  # tied tensors are stored once


class Allocated(TorchDispatchMode):
    """Counts the bytes of all tensors that live at once."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._living = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return tree_map_only(torch.Tensor, self._note, function(*args, **(kwargs or {})))

    def _note(self, tensor):
        storage = tensor.untyped_storage()
        if id(storage) not in self._living:
            self._living.add(id(storage))
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._free, id(storage), storage.nbytes())
        return tensor

    def _free(self, key, size):
        self._living.discard(key)
        self.now -= size


def peak_bytes(run):
    with torch.no_grad(), Allocated() as allocated:
        run()
    return allocated.peak


def empty(*shape):
    return torch.empty(*shape, dtype=torch.bfloat16, device="meta")


@pytest.fixture
def attention_without_scores(monkeypatch):
    """As the kernels of a GPU do it, which never write the scores down."""

    def attend(query=None, key=None, value=None, **_):
        return torch.empty_like(query)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", attend)


@pytest.mark.usefixtures("attention_without_scores")
def test_the_predicted_activations_are_those_of_the_denoising():
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(
            num_layers=1, num_single_layers=1, guidance_embeds=True
        )
    transformer.to(torch.bfloat16)

    def denoise(tokens):
        text = {"encoder_hidden_states": empty(1, 512, 4096), "txt_ids": empty(512, 3)}
        image = {"hidden_states": empty(1, tokens, 64), "img_ids": empty(tokens, 3)}
        numbers = {"timestep": empty(1), "guidance": empty(1), "pooled_projections": empty(1, 768)}
        return peak_bytes(lambda: transformer(**text, **image, **numbers))

    per_token = (denoise(9216) - denoise(1024)) / (9216 - 1024)
    assert per_token == pytest.approx(plan.DENOISING_BYTES_PER_TOKEN, rel=0.02)


@pytest.mark.usefixtures("attention_without_scores")
def test_the_predicted_activations_are_those_of_the_decoding():
    widths = (128, 256, 512, 512)
    with torch.device("meta"):
        vae = AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=widths,
            layers_per_block=2,
            latent_channels=16,
        )
    vae.to(torch.bfloat16)

    def decode(side):
        return peak_bytes(lambda: vae.decode(empty(1, 16, side // 8, side // 8)))

    per_pixel = (decode(1024) - decode(512)) / (1024**2 - 512**2)
    assert per_pixel == pytest.approx(plan.DECODING_BYTES_PER_PIXEL, rel=0.02)
