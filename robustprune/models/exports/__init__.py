"""Writing a network as the file that ships: ONNX, and ONNX in int8."""
