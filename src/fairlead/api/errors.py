"""The only table from kinds of error to HTTP, and the one shape of every refusal (docs/contract.md §8)."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from html import escape
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from fairlead import ids
from fairlead.api.html import is_for_people, page
from fairlead.errors import Error, Invalid, Kind, NotFound, Problem, retry_after, without_folders

_log = logging.getLogger(__name__)
STATUS: Mapping[Kind, int] = {
    Kind.INVALID: 422,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.FORBIDDEN: 403,
    Kind.BUSY: 429,
    Kind.UNAVAILABLE: 503,
    Kind.INTERNAL: 500,
}
STATUS_BY_CODE: Mapping[str, int] = {
    "token_required": 401,
    "token_invalid": 401,
    "token_expired": 401,
    "token_revoked": 401,
    "sign_in_failed": 401,
    "wrong_password": 401,
    "version_gone": 410,
    "too_large": 413,
    "storage_exceeded": 413,
    "body_too_large": 413,
    "not_a_zip": 415,
    "encoding_unknown": 415,
    "unsupported_media_type": 415,
    "encoding_invalid": 400,
    "invalid_json": 400,
    "not_offered": 501,
    "timed_out": 504,
}
"""Codes that HTTP has a more exact word for than their kind."""
_CALLS = ("/v1/", "/v2/")
"""Below these the front door answers for the models that are not there."""


_HINTS = {404: "see /docs/api", 405: "see /docs/api", 408: "send it again", 413: "send less at once"}
_CODES = {404: "not_found", 405: "method_not_allowed", 408: "request_too_slow", 413: "body_too_large"}


def request_id(request: Request) -> str:
    """Return the id that the front door gave the request, or a new one for calls that did not come through it."""
    known = getattr(request.state, "id", "")
    if not known:
        known = request.headers.get("x-request-id") or ids.new("req")
        request.state.id = known
    return str(known)


def trace_of(request: Request) -> str:
    """Return the request's W3C ``traceparent``, nothing where it has none that is valid."""
    given = request.headers.get("traceparent", "")
    return given if ids.is_trace(given) else ""


def response(error: Error, request: Request) -> Response:
    """Return ``error`` as the caller sees it; a person who is not signed in is led to where one does that."""
    if error.code == "no_such_model" and request.url.path.startswith(_CALLS):
        error = _as_at_the_door(request.url.path)
    status = STATUS_BY_CODE.get(error.code, STATUS[error.kind])
    if status == 422 and _is_inference(request):
        status = 400  # the one status that the Open Inference Protocol knows
    ours = status >= 500
    body: dict[str, Any] = {
        "code": error.code,
        "message": without_folders(error.message) if ours else error.message,
        "hint": without_folders(error.hint) if ours else error.hint,
        "id": request_id(request),
    }
    if error.problems:
        body["problems"] = [
            {"path": p.path, "rule": p.rule, "message": p.message, "hint": p.hint, "line": p.line}
            for p in error.problems
        ]
    headers = {"X-Request-Id": body["id"]}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(retry_after(error.retry_after_s, random.random()))
    if status == 401 and is_for_people(request) and not _is_inference(request):
        query = f"?{request.url.query}" if request.url.query else ""
        return _to_sign_in(f"{request.url.path}{query}")
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="fairlead"'
    return _refusal(request, status, body, headers)


def _to_sign_in(back: str) -> Response:
    return Response(status_code=303, headers={"Location": f"/sign-in?next={back}", "Cache-Control": "no-store"})


def _is_inference(request: Request) -> bool:
    return request.url.path == "/v2" or request.url.path.startswith("/v2/")


def _refusal(request: Request, status: int, body: dict[str, Any], headers: Mapping[str, str]) -> Response:
    """Return ``body`` as an answer: a page for who looks at one, one text in the Open Inference Protocol."""
    if is_for_people(request) and not _is_inference(request):
        told = f"<h1>{status}</h1><p>{escape(body['message'])}</p>"
        told += f'<p class="soft">{escape(body["hint"])}</p>' if body["hint"] else ""
        told += f'<p><a href="/">What is here</a></p><p class="soft">{escape(body["code"])}, {escape(body["id"])}</p>'
        answer = page(f"{status}: {body['message']}", told, status=status)
        answer.headers.update(headers)
        return answer
    error: object = body
    if _is_inference(request):
        error = f"{body['message']} ({body['hint']})" if body["hint"] else body["message"]
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def install(app: FastAPI) -> None:
    """Have every failure of ``app`` answered in the one shape."""

    async def handle(request: Request, error: Exception) -> Response:
        return answer(error, request)

    for kind in (Error, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handle)


def answer(error: Exception, request: Request) -> Response:
    """Return any failure of a request as the caller sees it; those of our own are logged."""
    if isinstance(error, Error):
        if error.kind is Kind.INTERNAL:
            _log.error("internal error", exc_info=error, extra={"request": request_id(request)})
        return response(error, request)
    if isinstance(error, RequestValidationError):
        return response(_from_validation(error), request)
    if isinstance(error, HTTPException):
        return _of_http(error, request)
    half = getattr(error, "orig", error)  # the store wraps what it meets as it writes
    if isinstance(half, UnicodeEncodeError):  # JSON may say half of a pair of surrogates, which is no text
        said = f"{half.object[half.start : half.end]!a} is half a character"
        return response(Invalid(said, code="text_invalid", hint="send text that is UTF-8"), request)
    _log.error("a request failed", exc_info=error, extra={"request": request_id(request), "path": request.url.path})
    body = {
        "code": "internal",
        "message": "something failed on our side",
        "hint": "fairlead logs control",
        "id": request_id(request),
    }
    return _refusal(request, 500, body, {"X-Request-Id": body["id"]})


def _of_http(error: HTTPException, request: Request) -> Response:
    code = _CODES.get(error.status_code, "http_error")
    body = {
        "code": code,
        "message": f"{request.method} {request.url.path}: {error.detail}",
        "hint": _HINTS.get(error.status_code, ""),
        "id": request_id(request),
    }
    headers = {"X-Request-Id": str(body["id"])} | dict(error.headers or {})  # Allow, of a method that is not
    return _refusal(request, error.status_code, body, headers)


def _as_at_the_door(path: str) -> NotFound:
    """Return what the front door says of a model that is not there: nobody shall tell the two apart."""
    return NotFound(
        f"{path}: there is no such model, or none that you may call",
        code="no_such_model",
        hint="fairlead models lists those that you may call",
    )


def _from_validation(error: RequestValidationError) -> Error:
    problems = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"] if part not in ("body", "query", "path")) or "body"
        problems.append(Problem(path=path, rule=str(item["type"]), message=str(item["msg"])))
    first = problems[0]
    return Invalid(f"{first.path}: {first.message}", hint="see /docs/api", problems=tuple(problems))
