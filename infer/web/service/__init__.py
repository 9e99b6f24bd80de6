"""The HTTP API of `imgsim-edge serve`: what other programs ask for, under ``/v1``.

`endpoint` tells what an endpoint is: its method and path, what it takes and gives, as Pydantic
types from which requests are checked and the OpenAPI document is made. `search`, `photos`, `items`,
`labels` and `duplicates` hold the endpoints, `answers` the types of what they give; `app` puts them
together, and `openapi` and `reference` describe them to programs and to people.
"""
