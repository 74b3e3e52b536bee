"""What is written on disk and read again.

checkpoint      a model in the ecosystem's format (GPT-2 sequence classifier, safetensors)
checksums       SHA256SUMS of every save
run             a run's directory: saves, what is logged, what a resume needs
log             metrics.jsonl, which a save vouches for
lock            one writer a directory
model_card      what a model is, beside it
"""
