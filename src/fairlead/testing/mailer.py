"""A mailer that keeps its letters in a list."""

from __future__ import annotations

from fairlead.errors import Error
from fairlead.mail.port import Letter


class ListMailer:
    """Keeps each letter in ``letters``; raises ``fails`` instead while that is set."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.fails: Error | None = None

    async def send(self, letter: Letter) -> str:
        if self.fails is not None:
            raise self.fails
        self.letters.append(letter)
        return ""
