"""Signal measures on tensors, the same in training and use."""
