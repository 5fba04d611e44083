"""What leaves this program: weights with a description, ONNX, a model card's section, shorter language models."""
