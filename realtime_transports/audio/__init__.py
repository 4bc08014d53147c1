"""Audio between sources, sinks and a link, whatever carries it."""
