"""Pixels → unit vectors, by an ONNX encoder."""
