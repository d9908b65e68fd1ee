"""Network blocks and losses that two or more systems share (PyTorch)."""
