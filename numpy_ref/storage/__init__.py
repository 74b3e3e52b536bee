"""Models and runs on disk: written whole, checked when they are read. In reading order:

checkpoint      the format of a model's files: a GPT-2 sequence classifier as the ecosystem loads it (safetensors)
checksums       SHA256SUMS, which lists the checksum of every file of a save
run             a run's directory: writes the checkpoints and the finished model, and reads them for a resume
log             metrics.jsonl, with its checksum in each save
lock            a lock that lets only one process write into a run's directory
model_card      the README.md of a model
"""
