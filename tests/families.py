"""Tiny random models of the families of causal language models that are used most, as transformers builds them."""

from __future__ import annotations

import inspect
import itertools
import math
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from mdl.pretrained import open_pretrained
from mdl.pretrained.compressor import PretrainedCoder
from mdl.records import ladder
from tests import tiny_models

_WIDTH, _DEPTH, _HEADS = 16, 2, 2


@dataclass(frozen=True)
class Family:
    """Classes of transformers by the stem of their names; what `settings` says beyond the usual names of sizes."""

    stem: str
    settings: dict[str, Any] = field(default_factory=dict)
    kind: str = "ForCausalLM"
    config: str = ""

    def model(self, vocabulary: int, context: int) -> transformers.PreTrainedModel:
        usual = {
            "vocab_size": vocabulary, "hidden_size": _WIDTH, "num_hidden_layers": _DEPTH,
            "num_attention_heads": _HEADS, "intermediate_size": 2 * _WIDTH, "max_position_embeddings": context,
            "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
        }  # fmt: skip
        told = {name: value for name, value in (usual | self.settings).items() if value is not ...}
        told = {name: context if value == "context" else value for name, value in told.items()}
        config = getattr(transformers, self.config or f"{self.stem}Config")(**told)
        return tiny_models._seeded(getattr(transformers, f"{self.stem}{self.kind}"), config)

    def save(self, folder: Path, context: int) -> Path:
        """A token a byte."""
        return tiny_models.save(folder, self.model(256, context), tiny_models.single_bytes())


_GROUPED = {"num_key_value_heads": 1}
_HEAD = _GROUPED | {"head_dim": 8}
_GPT2 = {"n_embd": _WIDTH, "n_layer": _DEPTH, "n_head": _HEADS, "n_positions": "context"}
_OF_4 = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_EXPERTS = _GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2}
_ROUTED = {
    "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
    "moe_intermediate_size": 16, "first_k_dense_replace": 1,
}  # fmt: skip
_LATENT = _ROUTED | {
    "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8,
    "num_key_value_heads": 2,
}  # fmt: skip
_LINEAR = {
    "linear_conv_kernel_dim": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2,
    "linear_num_value_heads": 2, "layer_types": ["linear_attention", "full_attention"],
}  # fmt: skip
_SLIDING = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
_DECODER = {
    "d_model": _WIDTH, "decoder_layers": _DEPTH, "decoder_attention_heads": _HEADS, "decoder_ffn_dim": 32,
    "pad_token_id": 1,
}  # fmt: skip
_STATES = {"mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_n_groups": 1, "mamba_chunk_size": 8}
_BERTS = {
    "electra": "Electra", "roformer": "RoFormer", "rembert": "RemBert", "megatron-bert": "MegatronBert",
    "roc_bert": "RoCBert",
}  # fmt: skip
_SECOND_HALVES = {"mbart": "MBart", "pegasus": "Pegasus", "blenderbot": "Blenderbot", "marian": "Marian"}
FAMILIES = {
    "gpt2": Family("GPT2", _GPT2, "LMHeadModel"),
    "gpt_neo": Family(
        "GPTNeo", {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]], "window_size": 6}
    ),
    "gptj": Family("GPTJ", _GPT2 | {"rotary_dim": 4}),
    "gpt_neox": Family("GPTNeoX"),
    "gpt_bigcode": Family("GPTBigCode", _GPT2),
    "codegen": Family("CodeGen", _GPT2 | {"rotary_dim": 4, "num_attention_heads": 4, "n_head": ...}),
    "opt": Family("OPT", {"ffn_dim": 32, "word_embed_proj_dim": _WIDTH, "pad_token_id": 1}),
    "bloom": Family("Bloom", {"n_layer": _DEPTH, "n_head": _HEADS}),
    "falcon": Family("Falcon", {"alibi": False, "new_decoder_architecture": False}),
    "mpt": Family(
        "Mpt",
        {
            "d_model": _WIDTH,
            "n_heads": _HEADS,
            "n_layers": _DEPTH,
            "max_seq_len": "context",
            "max_position_embeddings": ...,
        },
    ),
    "llama": Family("Llama", _GROUPED),
    "mistral": Family("Mistral", _GROUPED | {"sliding_window": 6}),
    "mixtral": Family("Mixtral", _EXPERTS),
    "qwen2": Family("Qwen2", _GROUPED),
    "qwen3": Family("Qwen3", _HEAD),
    "qwen2_moe": Family(
        "Qwen2Moe",
        _GROUPED
        | {
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 16,
        },
    ),
    "gemma": Family("Gemma", _HEAD),
    "gemma2": Family("Gemma2", _HEAD | {"sliding_window": 6}),
    "gemma3": Family("Gemma3", _HEAD | {"sliding_window": 6}, config="Gemma3TextConfig"),
    "phi": Family("Phi", {"partial_rotary_factor": 0.5}),
    "phi3": Family("Phi3", _GROUPED | {"sliding_window": 6}),
    "stablelm": Family("StableLm", _GROUPED),
    "olmo": Family("Olmo"),
    "olmo2": Family("Olmo2"),
    "starcoder2": Family("Starcoder2", _GROUPED | {"sliding_window": 6}),
    "cohere": Family("Cohere", _GROUPED),
    "granite": Family("Granite", _GROUPED),
    "smollm3": Family("SmolLM3", _GROUPED),
    "deepseek_v3": Family("DeepseekV3", _LATENT),
    "mamba": Family("Mamba", {"state_size": 4, "intermediate_size": ...}),
    "mamba2": Family(
        "Mamba2",
        {
            "state_size": 4,
            "num_heads": 4,
            "head_dim": 8,
            "expand": 2,
            "n_groups": 1,
            "chunk_size": 8,
            "intermediate_size": ...,
        },
    ),
    "rwkv": Family("Rwkv", {"context_length": "context", "attention_hidden_size": _WIDTH}),
    "recurrent_gemma": Family(
        "RecurrentGemma", {"lru_width": _WIDTH, "attention_window_size": 6, "num_hidden_layers": 3}
    ),
    "jamba": Family(
        "Jamba",
        _GROUPED
        | {
            "num_experts": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "use_mamba_kernels": False,
            "mamba_d_state": 4,
        },
    ),
    "xglm": Family(
        "XGLM", {"d_model": _WIDTH, "num_layers": _DEPTH, "attention_heads": _HEADS, "ffn_dim": 32, "pad_token_id": 1}
    ),
    "ctrl": Family("CTRL", _GPT2 | {"dff": 32}, "LMHeadModel"),
    "gpt_neox_japanese": Family("GPTNeoXJapanese"),
    "persimmon": Family("Persimmon"),
    "nemotron": Family("Nemotron", _GROUPED),
    "olmo3": Family("Olmo3", {"sliding_window": 6}),
    "olmoe": Family("Olmoe", _GROUPED | {"num_experts": 4, "num_experts_per_tok": 2}),
    "qwen3_moe": Family("Qwen3Moe", _HEAD | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}),
    "phimoe": Family("Phimoe", _EXPERTS),
    "granitemoe": Family("GraniteMoe", _EXPERTS),
    "jetmoe": Family("JetMoe", _EXPERTS | {"kv_channels": 8}),
    "llama4_text": Family(
        "Llama4",
        _HEAD | {"num_local_experts": 2, "num_experts_per_tok": 1, "intermediate_size_mlp": 32},
        config="Llama4TextConfig",
    ),
    "cohere2": Family("Cohere2", _GROUPED | {"sliding_window": 6}),
    "glm": Family("Glm", _HEAD),
    "glm4": Family("Glm4", _HEAD),
    "exaone4": Family("Exaone4", _HEAD | {"sliding_window": 6}),
    "ernie4_5": Family("Ernie4_5", _HEAD),
    "helium": Family("Helium", _HEAD),
    "arcee": Family("Arcee", _HEAD),
    "seed_oss": Family("SeedOss", _HEAD),
    "hunyuan_v1_dense": Family("HunYuanDenseV1", _HEAD),
    "apertus": Family("Apertus", _GROUPED),
    "doge": Family("Doge", _GROUPED),
    "bitnet": Family("BitNet", _GROUPED),
    "lfm2": Family("Lfm2", _GROUPED | {"full_attn_idxs": [1]}),
    "falcon_h1": Family("FalconH1", _HEAD | _STATES | {"mamba_d_ssm": 32}),
    "bert": Family("Bert", {"is_decoder": True}, "LMHeadModel"),
    "bart": Family("Bart", _DECODER),
    "openai-gpt": Family("OpenAIGPT", _GPT2, "LMHeadModel"),
    "bamba": Family("Bamba", _GROUPED | _STATES | {"attn_layer_indices": [1]}),
    "zamba2": Family(
        "Zamba2",
        {
            "mamba_d_state": 4,
            "mamba_expand": 2,
            "n_mamba_heads": 4,
            "mamba_headdim": 8,
            "mamba_ngroups": 1,
            "chunk_size": 8,
            "num_mem_blocks": 1,
            "hybrid_layer_ids": [1],
            "adapter_rank": 4,
            "layers_block_type": ["mamba", "hybrid"],
        },
    ),
    "minimax": Family("MiniMax", _HEAD | {"num_local_experts": 4, "num_experts_per_tok": 2, "block_size": 8}),
    "gpt_oss": Family("GptOss", _HEAD | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 6}),
    "falcon_mamba": Family("FalconMamba", {"state_size": 4, "intermediate_size": ...}),
    "biogpt": Family("BioGpt", {"pad_token_id": 1}),
    "deepseek_v2": Family("DeepseekV2", _LATENT),
    "minicpm3": Family("MiniCPM3", _LATENT),
    "longcat_flash": Family(
        "LongcatFlash",
        _LATENT
        | {"head_dim": 4, "ffn_hidden_size": 32, "expert_ffn_hidden_size": 16, "moe_topk": 2, "zero_expert_num": 1}
        | {"num_layers": _DEPTH, "num_hidden_layers": ..., "intermediate_size": ...},
    ),
    "dots1": Family("Dots1", _HEAD | _ROUTED),
    "glm4_moe": Family("Glm4Moe", _HEAD | _ROUTED),
    "solar_open": Family("SolarOpen", _HEAD | _ROUTED),
    "ernie4_5_moe": Family("Ernie4_5_Moe", _GROUPED | {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 16}),
    "exaone_moe": Family("ExaoneMoe", _HEAD | _OF_4 | {"sliding_window": 6}),
    "flex_olmo": Family("FlexOlmo", _GROUPED | _OF_4),
    "minimax_m2": Family("MiniMaxM2", _HEAD | _EXPERTS | {"rotary_dim": 4}),
    "hunyuan_v1_moe": Family("HunYuanMoEV1", _HEAD | {"num_experts": 4, "moe_topk": 2}),
    "granitemoeshared": Family("GraniteMoeShared", _EXPERTS | {"shared_intermediate_size": 16}),
    "granitemoehybrid": Family(
        "GraniteMoeHybrid",
        _EXPERTS | _STATES | {"layer_types": ["mamba", "attention"], "shared_intermediate_size": 16},
    ),
    "lfm2_moe": Family(
        "Lfm2Moe", _GROUPED | _OF_4 | {"num_dense_layers": 1, "layer_types": ["conv", "full_attention"]}
    ),
    "qwen3_next": Family("Qwen3Next", _HEAD | _OF_4 | _LINEAR | {"shared_expert_intermediate_size": 16}),
    "qwen3_5_text": Family("Qwen3_5", _HEAD | _LINEAR, config="Qwen3_5TextConfig"),
    "olmo_hybrid": Family("OlmoHybrid", _GROUPED | _LINEAR),
    "zamba": Family(
        "Zamba",
        {
            "mamba_d_state": 4,
            "n_mamba_heads": 2,
            "mamba_dt_rank": 2,
            "num_key_value_heads": 2,
            "use_mamba_kernels": False,
        }
        | {"num_hidden_layers": 3, "layers_block_type": ["mamba", "hybrid", "hybrid"], "attention_head_dim": 16},
    ),
    "gemma3n_text": Family(
        "Gemma3n",
        _HEAD
        | _SLIDING
        | {"hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 256, "laurel_rank": 4}
        | {"num_kv_shared_layers": 0, "altup_num_inputs": 2, "activation_sparsity_pattern": [0.0, 0.0]},
        config="Gemma3nTextConfig",
    ),
    "ministral": Family("Ministral", _HEAD | _SLIDING),
    "ministral3": Family("Ministral3", _HEAD | {"sliding_window": 6}),
    "vaultgemma": Family("VaultGemma", _HEAD | {"sliding_window": 6}),
    "granite_swa": Family("GraniteSWA", _GROUPED | {"sliding_window": 6}),
    "diffllama": Family("DiffLlama", {"num_key_value_heads": 2}),
    "nanochat": Family("NanoChat", _GROUPED),
    "jais2": Family("Jais2", _HEAD),
    "laguna": Family("Laguna", _GROUPED),
    "hrm_text": Family("HrmText"),
    **{name: Family(stem, {"is_decoder": True}) for name, stem in _BERTS.items()},
    **{name: Family(stem, _DECODER) for name, stem in _SECOND_HALVES.items()},
}
# The first one's layers hold the state and hand nothing over, the second knows no cache; of the others a step by step
# answer is not that of all at once.
MEASURED_ONLY = ("recurrent_gemma", "openai-gpt", "bamba", "zamba2", "minimax")
LONG = ("gpt2", "mistral", "bloom", "opt", "qwen3")  # files of several windows of 2,048 tokens: minutes
SOURCE = inspect.getsource(textwrap).encode()


def coder_of(name: str, context: int, folder: Path) -> PretrainedCoder:
    """A tiny model of a family, ready to code."""
    return open_pretrained(f"hf:{FAMILIES[name].save(folder / name, context)}", "cpu")


def by_hand(coder: PretrainedCoder, data: bytes) -> float:
    """Bits of windows coded each by itself, a window's first token uniformly, and of an escape a step of the ladder."""
    model, T = coder._measuring, coder.windows.context_tokens
    (run,) = model.tokenizer.runs(data)
    steps = itertools.pairwise([0, *ladder(len(data)), len(data)])
    bits = float(sum(run.escape_bits for a, b in steps for run in model.tokenizer.runs(data[a:b])))
    for i in range(0, len(run.ids), T):
        window = torch.tensor(run.ids[i : i + T])
        with torch.no_grad():
            log_p = torch.log_softmax(model.model(window[None], use_cache=False).logits[0].double(), -1)
        bits += math.log2(256) - sum(float(log_p[t - 1, window[t]]) for t in range(1, len(window))) / math.log(2)
    return bits
