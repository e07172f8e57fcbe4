"""Writes a trained size as a checkpoint that plain ``transformers`` loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from harness_nano.corpus import BOS, EOS, PAD, token_id
from harness_nano.model import Nano
from harness_nano.shapes import CONTEXT, NORM_EPSILON, ROPE_BASE, VOCABULARY, Shape


def named_weights(model: Nano) -> dict[str, Tensor]:
    """The weights under their names in a Llama checkpoint, as bfloat16."""
    named: dict[str, Tensor] = {
        "model.embed_tokens.weight": model.embed,
        "model.norm.weight": model.norm,
    }
    for layer in range(model.shape.layers):
        block = f"model.layers.{layer}"
        for index, which in enumerate("qkv"):
            named[f"{block}.self_attn.{which}_proj.weight"] = model.qkv[layer, index]
        named[f"{block}.self_attn.o_proj.weight"] = model.out[layer]
        named[f"{block}.mlp.gate_proj.weight"] = model.gate_up[layer, 0]
        named[f"{block}.mlp.up_proj.weight"] = model.gate_up[layer, 1]
        named[f"{block}.mlp.down_proj.weight"] = model.down[layer]
        named[f"{block}.input_layernorm.weight"] = model.norms[layer, 0]
        named[f"{block}.post_attention_layernorm.weight"] = model.norms[layer, 1]
    # Cloned, because the file format takes no two tensors that share memory.
    return {key: value.detach().to(torch.bfloat16).clone() for key, value in named.items()}


def config(shape: Shape, tokenizer: Tokenizer) -> dict[str, Any]:
    """The checkpoint's ``config.json``."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.width // shape.heads,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": ROPE_BASE,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_BASE},
        "tie_word_embeddings": True,
        "vocab_size": VOCABULARY,
        "bos_token_id": token_id(tokenizer, BOS),
        "eos_token_id": token_id(tokenizer, EOS),
        "pad_token_id": token_id(tokenizer, PAD),
        "dtype": "bfloat16",
    }


def tokenizer_config() -> dict[str, Any]:
    """The checkpoint's ``tokenizer_config.json``."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
    }


def generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """The checkpoint's ``generation_config.json``: greedy, ended by the end token."""
    return {
        "do_sample": False,
        "bos_token_id": token_id(tokenizer, BOS),
        "eos_token_id": token_id(tokenizer, EOS),
        "pad_token_id": token_id(tokenizer, PAD),
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a document, keys in their order, ended by a newline."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def export(model: Nano, tokenizer: Tokenizer, directory: Path, record: Mapping[str, Any]) -> None:
    """Write the checkpoint with its ``harness_model.json``; that file last, as it means done."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = named_weights(model)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    write_json(directory / "config.json", config(model.shape, tokenizer))
    write_json(directory / "generation_config.json", generation_config(tokenizer))
    write_json(directory / "tokenizer_config.json", tokenizer_config())
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    write_json(directory / "harness_model.json", record)
