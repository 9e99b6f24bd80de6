"""The HTTP API as an OpenAPI document: https://spec.openapis.org/oas/v3.1.0."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from ..messages import UPLOAD_BYTES
from .answers import Fault
from .endpoint import Endpoint, Message

_ABOUT = (
    "Photos, their neighbours, labels and duplicates of one index. Every request but the one for "
    "/health brings the server's token. A path is one of the server's file system."
)
_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")
_PHOTO = {
    "description": f"The bytes of an image file, {UPLOAD_BYTES // 1_000_000} MB at most.",
    "required": True,
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
_FAULTS = {
    "400": "The request makes no sense.",
    "403": "The token is missing or wrong, or the server only shows.",
    "404": "It is not in the index.",
    "408": "The body took too long.",
    "413": "The body is too large.",
    "422": "It cannot be done: the line says why.",
    "429": "Too many wrong tokens came from this address.",
    "503": "Another process is writing to the index, or there are too many requests: try again.",
}


def document(endpoints: Sequence[Endpoint], prefix: str) -> dict[str, Any]:
    """Describe endpoints."""
    messages: set[type[Message]] = {Fault}
    for endpoint in endpoints:
        for kind in (endpoint.gives, endpoint.takes):
            if kind is not None and issubclass(kind, Message):
                messages.add(kind)
    kinds = sorted(messages, key=lambda kind: kind.__name__)
    _, schemas = models_json_schema(
        [(kind, "serialization") for kind in kinds],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = _PARAMETER.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "imgsim-edge", "version": version("imgsim-edge"), "description": _ABOUT},
        "servers": [{"url": prefix}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                status: {"description": about, "content": _json_of(Fault)}
                for status, about in _FAULTS.items()
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    told = inspect.getdoc(endpoint.answer) or ""
    operation: dict[str, Any] = {
        "operationId": endpoint.answer.__qualname__.replace("Endpoints.", "_").lower(),
        "tags": [endpoint.path.split("/")[1]],
        "summary": told.splitlines()[0],
        "parameters": _parameters(endpoint),
        "responses": {
            "200": {
                "description": "A JPEG." if endpoint.gives is bytes else "The answer.",
                "content": {"image/jpeg": {}}
                if endpoint.gives is bytes
                else _json_of(endpoint.gives),
            },
            **{status: {"$ref": f"#/components/responses/{status}"} for status in _FAULTS},
        },
    }
    if endpoint.public:
        operation["security"] = []
    if endpoint.takes is bytes:
        operation["requestBody"] = _PHOTO
    elif endpoint.takes is not None:
        operation["requestBody"] = {"required": True, "content": _json_of(endpoint.takes)}
    return operation


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if kind == "int" else "string"},
        }
        for name, kind in _PARAMETER.findall(endpoint.path)
    ]
    schema = endpoint.wishes.model_json_schema()
    for name, about in schema.get("properties", {}).items():
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "description": about.pop("description", ""),
                "schema": about,
            }
        )
    return parameters


def _json_of(kind: type[Any]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
