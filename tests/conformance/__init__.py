"""Runs recorded behaviour of OpenAI Agents JS against the transports of this project."""
