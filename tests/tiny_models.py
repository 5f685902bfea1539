"""Small pretrained models made on the spot: random weights of real architectures, tokenizers trained on a few lines."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = "The quick brown fox jumps over the lazy dog; Größe, naïve façade, 東京 and so on.\n\tdef f(x): return x  \n" * 3
Backend = Tokenizer


def byte_level(
    vocab_size: int = 300, *, whole_alphabet: bool = True, space_first: bool = False, normalizer: object = None
) -> Backend:
    """BPE over bytes, as GPT-2's; without the whole alphabet some bytes have no token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space_first)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet() if whole_alphabet else []
    text = TEXT if whole_alphabet else TEXT.encode("ascii", "ignore").decode().replace("q", "")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def single_bytes() -> Backend:
    """256 tokens, one a byte."""
    tokenizer = byte_level()
    vocab = {character: i for i, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer.model = models.BPE(vocab=vocab, merges=[])
    return tokenizer


def word_piece() -> Backend:
    """Lowercases, strips accents, drops spaces at edges: much is lost."""
    unknown = "[UNK]"
    tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=[unknown], show_progress=False)
    tokenizer.train_from_iterator([TEXT.lower()], trainer)
    return tokenizer


def sentence_piece() -> Backend:
    """Spaces as ▁, one put before the text, unknown signs as bytes: as Llama's."""
    unknown = "<unk>"
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = [unknown, "<s>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([TEXT.encode("ascii", "ignore").decode()], trainer)
    return tokenizer


def gpt2(vocabulary: int, width: int = 16, *, tied: bool = True, context: int = 32) -> transformers.PreTrainedModel:
    """GPT-2, the head tied or not."""
    config = transformers.GPT2Config(
        vocab_size=vocabulary, n_positions=context, n_embd=width, n_layer=2, n_head=2, tie_word_embeddings=tied
    )
    return _seeded(transformers.GPT2LMHeadModel, config)


def neox(vocabulary: int, width: int = 16, context: int = 32) -> transformers.PreTrainedModel:
    """GPT-NeoX, as the Pythia family."""
    config = transformers.GPTNeoXConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=4 * width, max_position_embeddings=context, bos_token_id=None,
    )  # fmt: skip
    return _seeded(transformers.GPTNeoXForCausalLM, config)


def llama(vocabulary: int, width: int = 16, context: int = 32) -> transformers.PreTrainedModel:
    """Llama."""
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=4 * width, max_position_embeddings=context, bos_token_id=1,
    )  # fmt: skip
    return _seeded(transformers.LlamaForCausalLM, config)


def _seeded(kind: type, config: transformers.PreTrainedConfig) -> transformers.PreTrainedModel:
    """Weights large enough that contexts matter."""
    torch.manual_seed(0)
    model = kind(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.3)
    return model


def save(
    folder: Path, model: transformers.PreTrainedModel | None, tokenizer: Backend | None, bos: str | None = None
) -> Path:
    """As `save_pretrained` leaves a model on disk."""
    if model is not None:
        model.save_pretrained(folder)
    if tokenizer is not None:
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos).save_pretrained(folder)
    return folder
