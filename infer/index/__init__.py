"""The façade: folders → an index → answers, and the upkeep of it."""
