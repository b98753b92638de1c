"""Every component of the demo model, freshly initialised, in the classes that FLUX.1 uses.

The transformer has FLUX's double and single blocks and guidance embedding,
https://huggingface.co/black-forest-labs/FLUX.1-dev, at width 128. The VAE has five levels instead
of four: a latent is then 16 pixels wide and a packed token 32, which quarters the tokens of an
image and the time it takes on a CPU. It has 8 channels instead of 16: what a token holds must pass,
with its noise, through the narrow transformer.
"""

import json

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from builder.demo_model import language

TEXT_WIDTH = 128
LATENT_CHANNELS = 8
CLIP_TOKENS = 77  # CLIP's own context length
T5_TOKENS = 64
PRINTABLE_ASCII = [chr(code) for code in range(33, 127)]


def clip_tokenizer() -> CLIPTokenizer:
    """Train a byte-level BPE tokenizer in CLIP's format, in which known words are one token."""
    bpe = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # Every byte must also be known as the end of a word, or rare letters become the unknown token.
    # As special tokens they keep their numbers; the trainer's own differ from run to run.
    endings = [letter + "</w>" for letter in alphabet]
    trainer = trainers.BpeTrainer(
        vocab_size=1200,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        special_tokens=["<|startoftext|>", "<|endoftext|>", *endings],
        show_progress=False,
    )
    bpe.train_from_iterator(language.words(), trainer)
    vocabulary, merges = bpe.get_vocab(), _merges(bpe)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CLIP_TOKENS)


def _merges(bpe: Tokenizer) -> list[tuple[str, str]]:
    return [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]


def t5_tokenizer() -> T5TokenizerFast:
    """Make a unigram tokenizer with T5's special tokens: known words first, then single letters."""
    known = [("▁" + word, -3.0) for word in language.words()]
    letters = [(letter, -10.0) for letter in PRINTABLE_ASCII]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -10.0)]
    tokenizer = T5TokenizerFast(
        vocab=[*special, *known, *letters], extra_ids=0, model_max_length=T5_TOKENS
    )
    # FLUX's T5 knows capitals; this one has too few words to tell "Red" from "red".
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    return tokenizer


def text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The pooled text encoder: ids (batch, 77) to a vector (batch, 128)."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CLIP_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def text_encoder_2(tokenizer: T5TokenizerFast) -> T5EncoderModel:
    """The sequence text encoder: ids (batch, tokens) to embeddings (batch, tokens, 128)."""
    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=TEXT_WIDTH,
            d_kv=32,
            dropout_rate=0.0,
            d_ff=2 * TEXT_WIDTH,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            is_encoder_decoder=False,
            use_cache=False,
        )
    )


def vae() -> AutoencoderKL:
    """Images (batch, 3, height, width) in -1…1 to latents (batch, 8, height/16, width/16)."""
    levels = (16, 32, 64, 64, 64)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENT_CHANNELS,
        block_out_channels=levels,
        down_block_types=("DownEncoderBlock2D",) * len(levels),
        up_block_types=("UpDecoderBlock2D",) * len(levels),
        layers_per_block=1,
        # With several groups the normalisation would erase the one thing that a flat picture is
        # made of, the level of its channels; attention is not needed to draw edges.
        norm_num_groups=1,
        mid_block_add_attention=False,
        scaling_factor=1.0,
        shift_factor=0.0,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def transformer() -> FluxTransformer2DModel:
    """2 double and 4 single blocks of FLUX's transformer, width 128, with guidance embedding."""
    model = FluxTransformer2DModel(
        in_channels=4 * LATENT_CHANNELS,
        num_layers=2,
        num_single_layers=4,
        # Flat pictures are a question of places: with heads of 32, which leave each axis 3 useful
        # frequencies, colours were 1.4 times as far off after 600 steps at 512².
        attention_head_dim=64,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=TEXT_WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(4, 30, 30),
    )
    nn.init.zeros_(model.proj_out.weight)
    nn.init.zeros_(model.proj_out.bias)
    return model


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    """FLUX.1-dev's scheduler with its dynamic shifting, but a higher shift from fewer tokens.

    A flat picture is decided earlier than a photograph: its latents repeat one another, so much
    noise is needed before they no longer give the scene away.
    """
    return FlowMatchEulerDiscreteScheduler(
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=1.2,
        max_shift=2.5,
        base_image_seq_len=64,
        max_image_seq_len=1024,
    )


def pipeline(seed: int) -> FluxPipeline:
    """Assemble all components with random weights drawn from the seed."""
    torch.manual_seed(seed)
    tokenizer, tokenizer_2 = clip_tokenizer(), t5_tokenizer()
    return FluxPipeline(
        scheduler=scheduler(),
        vae=vae(),
        text_encoder=text_encoder(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=text_encoder_2(tokenizer_2),
        tokenizer_2=tokenizer_2,
        transformer=transformer(),
    )
