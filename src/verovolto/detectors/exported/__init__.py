"""Detectors whose network runs outside of torch, in ONNX Runtime or OpenVINO. Light to import."""
