"""The HTTP API: FastAPI on control's Unix socket. Thin: parse, ask a room, show a view."""
