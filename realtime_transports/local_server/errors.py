"""Errors of HTTP requests, in the shape of the API's."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

__all__ = ["ApiError", "error_response"]


class ApiError(Exception):
    """A request that is refused."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None,
        param: str | None = None,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Say why.

        Args:
            status: The HTTP status.
            message: What is wrong, for people.
            code: What is wrong, for programs.
            param: Which part of the request.
            kind: The error's type; None is the usual one for the status.
            headers: Of the answer, besides the usual.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
        self.headers = dict(headers or {})


def error_response(error: ApiError) -> web.Response:
    """The answer to a request that is refused."""
    body = {
        "error": {
            "message": error.message,
            "type": error.kind,
            "param": error.param,
            "code": error.code,
        }
    }
    return web.json_response(body, status=error.status, headers=error.headers)
