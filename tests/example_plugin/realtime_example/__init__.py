"""An example of a plugin: a source, a sink, a middleware and a transport."""
