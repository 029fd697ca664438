"""The HTML of a letter, from its text: paragraphs, lines as they stand, links. Pure; everything is escaped.

Styles stand at the elements and nothing is loaded from anywhere: mail programs drop style sheets and block pictures.
"""

from __future__ import annotations

import html
import re

_FONT = "font:16px/1.5 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_MONO = "font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"
_URL = re.compile(r"https?://[^\s<>\"'()]+[^\s<>\"'().,;:!?]")
_COMMAND = re.compile(r"\bfairlead [a-z]+(?: [\w@.:/-]*[\w@])*")
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{subject}</title></head>
<body style="margin:0;padding:24px 12px;background:#f4f5f7;color:#1c2733;{font}">
<div style="max-width:600px;margin:0 auto;padding:24px 28px;background:#fff;border:1px solid #dfe3e8;border-radius:8px">
<h1 style="margin:0 0 16px;font-size:20px;line-height:1.3">{subject}</h1>
{blocks}
</div>
<p style="max-width:600px;margin:12px auto 0;color:#5c6b7a;font-size:13px">{foot}</p>
</body>
</html>
"""


def page(subject: str, text: str, foot: str = "Sent by Fairlead.") -> str:
    """Return the HTML of a letter: blocks keep their lines; traces and lines of logs are set as such."""
    blocks = [_block(block) for block in re.split(r"\n[ \t]*\n", text.strip("\n")) if block.strip()]
    return _PAGE.format(subject=html.escape(subject), blocks="\n".join(blocks), foot=html.escape(foot), font=_FONT)


def _block(text: str) -> str:
    lines = text.split("\n")
    if len(lines) > 1 and any(line.startswith((" ", "\t", "{", "Traceback")) for line in lines):
        style = f"margin:0 0 16px;padding:12px;background:#f4f5f7;border-radius:6px;white-space:pre-wrap;{_MONO}"
        return f'<pre style="{style};overflow-wrap:anywhere">{html.escape(text)}</pre>'
    said = "<br>\n".join(_line(line) for line in lines)
    return f'<p style="margin:0 0 16px;overflow-wrap:anywhere">{said}</p>'


def _line(text: str) -> str:
    """Return one line, escaped, with its URLs as links and commands as such."""
    made, at = "", 0
    for match in _URL.finditer(text):
        url = html.escape(match[0])
        made += f'{_commands(text[at : match.start()])}<a href="{url}" style="color:#0b5cad">{url}</a>'
        at = match.end()
    return made + _commands(text[at:])


def _commands(text: str) -> str:
    made, at = "", 0
    for match in _COMMAND.finditer(text):
        made += f'{html.escape(text[at : match.start()])}<code style="{_MONO}">{html.escape(match[0])}</code>'
        at = match.end()
    return made + html.escape(text[at:])
