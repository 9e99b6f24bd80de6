"""Past one machine: vectors as shards, made by many processes, and served from a database."""
