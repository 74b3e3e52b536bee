"""The same reward model in PyTorch's own primitives, differentiated by autograd. Read each room beside numpy_ref's."""
