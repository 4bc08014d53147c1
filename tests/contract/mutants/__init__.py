"""Deliberately broken transports, sources, sinks and middlewares, each with who must catch it."""
