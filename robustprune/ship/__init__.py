"""What leaves this program: weights with a description, ONNX, and the section of a model card."""
