"""Which models are in memory: loaded when a request asks for them, unloaded to make room, least recently used first."""
