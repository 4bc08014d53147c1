"""Our own transports, sources, sinks and middlewares against the suites that ship."""
