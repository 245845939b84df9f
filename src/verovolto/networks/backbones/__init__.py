"""Pretrained networks that others are built on: ResNet-18 to fine-tune, EfficientNet-Lite as frozen features."""
