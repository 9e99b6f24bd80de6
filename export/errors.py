"""What can go wrong in an export, beyond the errors of the runtime and of training."""

from __future__ import annotations

from ..infer.errors import ImgsimError


class ExportError(ImgsimError):
    """A classifier that cannot become an encoder, or an encoder that is not as good as it."""
