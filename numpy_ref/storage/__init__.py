"""Models and runs on disk: written whole, checked when they are read. In reading order:

checkpoint      a model in the ecosystem's format (GPT-2 sequence classifier, safetensors)
checksums       SHA256SUMS of every save
run             a run's directory: saves, what is logged, what a resume needs
log             metrics.jsonl, with its checksum in each save
lock            only one process writes into a run's directory
model_card      the README.md of a model
"""
