"""What writes a network for somebody else: `to_c(network, path)` and `to_qonnx(model, path)`, each also a command."""
