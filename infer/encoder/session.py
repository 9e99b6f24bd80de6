"""ONNX Runtime on the CPU, and quiet."""

from __future__ import annotations

from typing import Any

FATAL = 4  # the severity from which on ONNX Runtime writes to stderr; errors are raised anyway


def session_options(**settings: Any) -> Any:
    """Make options of a session that writes nothing; ``settings`` are attributes of them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    for name, value in settings.items():
        setattr(options, name, value)
    return options


def cpu_session(model: bytes | str, options: Any | None = None) -> Any:
    """Load a model, by its bytes or its path, to be run on the CPU."""
    import onnxruntime

    return onnxruntime.InferenceSession(
        model, options or session_options(), providers=["CPUExecutionProvider"]
    )
