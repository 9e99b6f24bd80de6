"""The HTTP API as a page for people, made from its OpenAPI document, without any script."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>imgsim-edge: HTTP API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/static/icon.svg"><link rel="stylesheet" href="/static/reference.css"></head>
<body><main><h1>imgsim-edge {version}: HTTP API</h1>
<p>{about} The same for programs: <a href="openapi.json">openapi.json</a>.</p>
{operations}
<h2>Types</h2>
{types}
</main></body></html>
"""


def page(document: dict[str, Any]) -> str:
    """Write an OpenAPI document as HTML."""
    prefix = document["servers"][0]["url"]
    return _PAGE.format(
        version=escape(document["info"]["version"]),
        about=escape(document["info"]["description"]),
        operations="\n".join(_operations(document["paths"], prefix)),
        types="\n".join(_types(document["components"]["schemas"])),
    )


def _operations(paths: dict[str, Any], prefix: str) -> Iterator[str]:
    tag = ""
    for path, methods in paths.items():
        for method, operation in methods.items():
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                yield f"<h2>{escape(tag)}</h2>"
            yield f"<section><h3>{method.upper()} {escape(prefix + path)}</h3>"
            yield f"<p>{escape(operation['summary'])}</p>"
            rows = [
                (f"{one['name']} ({one['in']})", _kind(one["schema"]), _limits(one))
                for one in operation["parameters"]
            ]
            if rows:
                yield _table(rows)
            yield f"<p>{_bodies(operation)}</p></section>"


def _bodies(operation: dict[str, Any]) -> str:
    parts = []
    if "requestBody" in operation:
        [(media, body)] = operation["requestBody"]["content"].items()
        parts.append(f"Takes {_content(media, body)}.")
    [(media, body)] = operation["responses"]["200"]["content"].items()
    parts.append(f"Gives {_content(media, body)}.")
    return " ".join(parts)


def _content(media: str, body: dict[str, Any]) -> str:
    if media == "application/json":
        return f"JSON: {_kind(body['schema'])}"
    return "a JPEG" if media == "image/jpeg" else "the bytes of an image file"


def _types(schemas: dict[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        yield f'<section id="{escape(name)}"><h3>{escape(name)}</h3>'
        yield f"<p>{escape(schema.get('description', ''))}</p>"
        yield _table(
            [
                (field, _kind(about), escape(about.get("description", "")))
                for field, about in schema["properties"].items()
            ]
        )
        yield "</section>"


def _limits(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    told = [parameter.get("description", "")]
    told += [
        f"{word} {part[name]}"
        for part in (schema, *schema.get("anyOf", ()))
        for name, word in (("minimum", "from"), ("maximum", "to"))
        if name in part
    ]
    if schema.get("default") is not None:
        told.append(f"{schema['default']} where nothing is said")
    return escape("; ".join(text for text in told if text))


def _kind(schema: dict[str, Any]) -> str:
    """Write a type, with links to those that have a name."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    return escape(schema.get("type", "any JSON"))


def _table(rows: list[tuple[str, str, str]]) -> str:
    """Lay out names, types and descriptions; the latter two are HTML already."""
    cells = "".join(
        f"<tr><th scope=row><code>{escape(name)}</code></th><td>{kind}</td><td>{about}</td></tr>"
        for name, kind, about in rows
    )
    return f"<table>{cells}</table>"
