"""The encoders that ship with imgsim-edge, and their model card."""
