"""Errors of HTTP requests, in the shape of the API's."""

from __future__ import annotations

from aiohttp import web

__all__ = ["ApiError", "error_response"]


class ApiError(Exception):
    """A request that is refused."""

    def __init__(
        self, status: int, message: str, *, code: str | None, param: str | None = None
    ) -> None:
        """Say why.

        Args:
            status: The HTTP status.
            message: What is wrong, for people.
            code: What is wrong, for programs.
            param: Which part of the request.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param


def error_response(error: ApiError) -> web.Response:
    """The answer to a request that is refused."""
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    body = {
        "error": {
            "message": error.message,
            "type": kind,
            "param": error.param,
            "code": error.code,
        }
    }
    return web.json_response(body, status=error.status)
