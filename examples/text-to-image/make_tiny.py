"""Makes a whole pipeline of random weights, some 7 MB, without a network: it draws noise, as others draw pictures.

    python make_tiny.py [FOLDER]        # default: pipeline/ beside this file

It is Stable Diffusion's kind in all its parts, only small: a text encoder with a tokenizer of single bytes, a UNet, an
autoencoder and a scheduler, written as ``diffusers`` writes them. Same seed, same weights.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

WIDTH = 32
"""Of the text encoder's states, and of the first blocks of the others."""
WORDS_MAX = 77
SIDE = 64
"""Pixels of a picture, unless asked for others."""


def main(folder: Path) -> None:
    torch.manual_seed(7)
    words = tokenizer()
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            projection_dim=WIDTH,
            num_attention_heads=4,
            num_hidden_layers=2,
            max_position_embeddings=WORDS_MAX,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=(WIDTH, 2 * WIDTH),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
    )
    pictures = AutoencoderKL(
        sample_size=SIDE,
        block_out_channels=(WIDTH, 2 * WIDTH),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
    )
    pipeline = StableDiffusionPipeline(
        vae=pictures,
        text_encoder=text,
        tokenizer=words,
        unet=unet,
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)


def tokenizer() -> CLIPTokenizer:
    """Return a tokenizer that knows each byte, within a word and at its end, and nothing longer."""
    letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in letters]
    signs = [chr(byte) for byte in letters] + [chr(256 + place) for place in range(len(rest))]
    names = [*signs, *(f"{sign}</w>" for sign in signs), "<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.json").write_text(json.dumps({name: place for place, name in enumerate(names)}))
        (Path(folder) / "merges.txt").write_text("#version: 0.2\n")
        config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": WORDS_MAX, "pad_token": "<|endoftext|>"}
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(config))
        return CLIPTokenizer.from_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pipeline")
