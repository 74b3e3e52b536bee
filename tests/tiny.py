"""Tiny pretrained models and tokenizers, made on the spot: what the tests of backbones share."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModel, GPT2Config, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3Config

CORPUS = [
    "Should plastic bottles be banned? Yes, for the sake of the sea.",
    "user assistant system <|im_start|> <|im_end|> <|endoftext|>",
    "A longer argument gives reasons; a shorter one does not.",
] * 3
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
)
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def tokenizer(pad=None, eos="<|im_end|>", chat=CHAT, bos=False):
    """A byte-level BPE tokenizer trained here; bos: one that puts <|im_start|> before every text"""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    if bos:
        made.post_processor = processors.TemplateProcessing("<|im_start|> $A", None, [("<|im_start|>", 1)])
    names = {"eos_token": eos, "bos_token": "<|im_start|>", "unk_token": "<|endoftext|>", "pad_token": pad}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, **{k: v for k, v in names.items() if v})
    wrapped.chat_template = chat
    return wrapped


SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 24}
CONFIGS = {
    "gpt2": lambda **o: GPT2Config(n_embd=16, n_layer=3, n_head=4, n_positions=128, **o),
    "llama": lambda **o: LlamaConfig(**SIZES, num_key_value_heads=2, max_position_embeddings=128, **o),
    "qwen2": lambda **o: Qwen2Config(**SIZES, num_key_value_heads=2, max_position_embeddings=128, **o),
    "qwen3": lambda **o: Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=4, max_position_embeddings=128, **o),
}


def directory(path, kind="llama", seed=0, words=None):
    """A model directory as the hub has them: config, safetensors, tokenizer; weights that are far from 0"""
    words = words or tokenizer()
    torch.manual_seed(seed)
    specials = {"eos_token_id": words.eos_token_id, "bos_token_id": 1, "pad_token_id": words.pad_token_id}
    body = AutoModel.from_config(CONFIGS[kind](vocab_size=len(words), initializer_range=0.3, **specials))
    body.save_pretrained(path)
    words.save_pretrained(path)
    return str(path)
