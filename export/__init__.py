"""A Keras classifier → an ONNX encoder, checked against it."""
