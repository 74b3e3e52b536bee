"""Tiny pretrained models and tokenizers, made on the spot, which the tests of backbones share."""

import json
from functools import cache

import numpy as np
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


@cache
def trained():
    """The byte-level BPE tokenizer as JSON"""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    return made.to_str()


def tokenizer(pad=None, eos="<|im_end|>", chat=CHAT, bos=False):
    """A byte-level BPE tokenizer trained here; bos: one that puts <|im_start|> before every text"""
    made = Tokenizer.from_str(trained())
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
    "smollm2": lambda **o: LlamaConfig(  # a Llama with one group of keys and tied embeddings
        hidden_size=18,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=1,
        intermediate_size=48,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        rope_theta=100000.0,
        **o,
    ),
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


def gguf(path, body, words):
    """A tiny Llama as a GGUF file, in llama.cpp's names and its order of rotary pairs"""
    import gguf

    config, state = body.config, {name: tensor.numpy() for name, tensor in body.state_dict().items()}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    model = json.loads(words.backend_tokenizer.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(pieces)
    writer.add_token_types([3 if piece in SPECIALS else 1 for piece in pieces])  # 3: control
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    parts = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
    parts |= {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
    parts |= {"mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, array in state.items():
        new = name.replace("embed_tokens", "token_embd").replace("layers.", "blk.")
        new = "output_norm.weight" if new == "norm.weight" else new
        for theirs, ours in parts.items():
            new = new.replace(theirs, ours)
        if (n := heads.get(new.split(".")[-2])) is not None:
            array = array.reshape(n, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(new, np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)
