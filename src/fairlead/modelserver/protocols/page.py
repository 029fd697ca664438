"""The page of a model for people: what it takes and gives, how it is called, and a form that calls it.

It is one file that asks for nothing else. What runs in it is the one script below and nothing that a bundle wrote: all
of that is escaped, and :data:`POLICY` has the browser run no other script.
"""

from __future__ import annotations

import html
import json
import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from fairlead.messages import ModelSpec
from fairlead.modelserver.protocols.words import inputs_in_words

_STYLE = """
:root{color-scheme:light dark;--soft:color-mix(in srgb,CanvasText 7%,Canvas);
--line:color-mix(in srgb,CanvasText 18%,Canvas)}
body{font:16px/1.55 system-ui,sans-serif;max-width:54rem;margin:2.5rem auto;padding:0 1.25rem}
h1{margin:0;font-size:1.7rem}h1 small{font-size:1rem;font-weight:400;opacity:.7;margin-left:.5rem}
h2{margin:2.5rem 0 .5rem;font-size:1.1rem;border-top:1px solid var(--line);padding-top:1.5rem}
h2 code{background:none;padding:0;font-size:1rem}h3{font-size:.95rem;margin:1.25rem 0 .4rem}
p{margin:.5rem 0}code,pre,textarea{font:13.5px/1.5 ui-monospace,monospace}
code{background:var(--soft);padding:.1em .35em;border-radius:.25rem}
pre,textarea{background:var(--soft);border:1px solid var(--line);padding:.75rem 1rem;border-radius:.5rem;
overflow:auto;margin:.5rem 0}
textarea{width:100%;box-sizing:border-box;min-height:6rem;color:inherit;resize:vertical}
table{border-collapse:collapse;width:100%}
td{padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td:first-child{white-space:nowrap}summary{cursor:pointer;margin:.75rem 0}
label{display:block;margin:.5rem 0}input,select,button{font:inherit;color:inherit}
input[type=password]{width:100%;box-sizing:border-box;padding:.35rem .5rem}
button{padding:.4rem 1.2rem;border-radius:.4rem;border:1px solid #1a6fd4;background:#1a6fd4;color:#fff;cursor:pointer}
button[disabled]{opacity:.5}output{display:block}output img,output audio{max-width:100%;margin:.5rem 0}
.said{font-size:.9rem;opacity:.8}.bad{color:#c2392b;opacity:1}
"""
_SCRIPT = """
"use strict";
const token = document.getElementById("token");
const show = (out, tag, fill) => {
  const made = document.createElement(tag);
  fill(made);
  out.append(made);
  return made;
};
const picture = (out, url) => /^(data:|blob:)/.test(url) && show(out, "img", (one) => { one.src = url; });
function walk(out, value) {
  if (typeof value === "string" && value.startsWith("data:image/")) picture(out, value);
  else if (value && typeof value === "object") Object.values(value).forEach((one) => walk(out, one));
}
function bodyOf(form, headers) {
  const text = form.querySelector("textarea").value.trim();
  const files = [...form.querySelectorAll("input[type=file]")].filter((one) => one.files.length);
  if (!files.length) { headers["content-type"] = "application/json"; return text || "{}"; }
  const fields = JSON.parse(text || "{}"), sent = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value === null || form.querySelector(`input[type=file][name="${CSS.escape(name)}"]`)) continue;
    for (const one of Array.isArray(value) ? value : [value])
      sent.append(name, typeof one === "string" ? one : JSON.stringify(one));
  }
  for (const one of files) for (const file of one.files) sent.append(one.name, file);
  return sent;
}
async function pieces(out, answer) {
  const text = show(out, "pre", () => {}), reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\\n\\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.split("\\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("");
      if (!data || /^event: *done/m.test(event)) continue;
      const piece = JSON.parse(data);
      text.append(typeof piece === "string" ? piece : JSON.stringify(piece) + "\\n");
    }
  }
}
async function call(form, out, line, slow) {
  const headers = { accept: "streams" in form.dataset ? "text/event-stream, */*;q=0.9" : "*/*" };
  if (token.value.trim()) headers.authorization = "Bearer " + token.value.trim();
  const body = bodyOf(form, headers), began = performance.now();
  const answer = await fetch(form.dataset.path, { method: "POST", headers, body });
  clearTimeout(slow);
  const kind = answer.headers.get("content-type") || "";
  line.className = answer.ok ? "said" : "said bad";
  const tell = () => {
    const version = answer.headers.get("x-fairlead-version");
    line.textContent = `${answer.status} ${answer.statusText} in ${Math.round(performance.now() - began)} ms`
      + (version ? `, version ${version}` : "");
  };
  tell();
  if (answer.status === 401) { token.closest("details").open = true; token.focus(); }
  if (kind.startsWith("text/event-stream")) await pieces(out, answer);
  else if (/^(image|audio)\\//.test(kind)) {
    const url = URL.createObjectURL(await answer.blob());
    if (kind.startsWith("image")) picture(out, url);
    else show(out, "audio", (one) => { one.controls = true; one.src = url; });
  } else {
    const text = await answer.text();
    let value;
    try { value = JSON.parse(text); } catch { value = undefined; }
    const shown = value === undefined ? text : JSON.stringify(value, null, 2);
    show(out, "pre", (one) => { one.textContent = shown.length > 20000 ? shown.slice(0, 20000) + " \\u2026" : shown; });
    walk(out, value);
  }
  tell();
}
for (const form of document.querySelectorAll("form[data-path]")) {
  const out = form.querySelector("output"), line = form.querySelector(".said"), button = form.querySelector("button");
  const pick = form.querySelector("select");
  if (pick) pick.addEventListener("change", () => { form.querySelector("textarea").value = pick.value; });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    out.replaceChildren();
    button.disabled = true;
    line.className = "said";
    line.textContent = "\\u2026";
    const slow = setTimeout(() => { line.textContent = "it wakes, or takes its time"; }, 1500);
    try { await call(form, out, line, slow); }
    catch (error) { line.className = "said bad"; line.textContent = `not sent, or cut off: ${error.message}`; }
    finally { clearTimeout(slow); button.disabled = false; }
  });
}
"""
_HASH = b64encode(sha256(_SCRIPT.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_HASH}'; connect-src 'self'; "
    "img-src data: blob:; media-src data: blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""``Content-Security-Policy`` of the page: our script alone runs, and it speaks with where it came from alone."""
_LINE_MAX = 88
_DEEP, _ITEMS_MAX = 5, 8
"""Of a value that is shown only."""


def page_of(spec: ModelSpec, signature: Mapping[str, Any], summary: str = "", *, home: str = "") -> str:
    """Return the page of a model from its stored signature; everything in it is escaped; needs no running model.

    ``home`` is where other models are shown.
    """
    title = html.escape(f"{spec.name} {spec.version}")
    parts = "".join(part for name, one in signature["endpoints"].items() for part in _endpoint(spec, name, one))
    about = f"<p>{html.escape(summary)}</p>" if summary else ""
    back = f'<p><a href="{html.escape(home)}">All models</a></p>' if home else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>{back}'
        f"<h1>{html.escape(spec.name)}<small>version {html.escape(spec.version)}</small></h1>{about}"
        '<p>For programs: <a href="openapi.json">openapi.json</a>, and as tensors '
        f"<code>/v2/models/{html.escape(spec.name)}</code> (Open Inference Protocol).</p>"
        "<details><summary>Your token</summary><p>Whoever signed in on this site needs none here. Elsewhere: "
        "<code>FAIRLEAD_URL</code> is where this page came from, <code>FAIRLEAD_TOKEN</code> one of "
        "<code>fairlead tokens new LABEL</code>.</p><label>Token for the forms on this page; it is kept nowhere "
        '<input type="password" id="token" autocomplete="off" placeholder="fl_&hellip;"></label></details>'
        f"{parts}<script>{_SCRIPT}</script></body></html>"
    )


def _endpoint(spec: ModelSpec, name: str, endpoint: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the page tells of one endpoint."""
    yield f"<h2><code>POST /v1/models/{html.escape(spec.name)}/{html.escape(name)}</code></h2>"
    yield f"<p>{html.escape(endpoint['summary'])}</p>" if endpoint["summary"] else ""
    rows = "".join(
        f"<tr><td><code>{html.escape(field)}</code></td><td>{html.escape(words)}</td></tr>"
        for field, words in inputs_in_words(endpoint["input"]).items()
    )
    yield f"<table>{rows}</table>" if rows else ""
    yield _form(spec, name, endpoint)
    yield f"<details><summary>From a shell, from Python</summary><pre>{html.escape(curl(spec, name, endpoint))}</pre>"
    yield f"<pre>{html.escape(python(spec, name, endpoint))}</pre></details>" if name == "predict" else "</details>"
    schemas = [("takes", endpoint["input"])] + ([("answers", endpoint["output"])] if endpoint["output"] else [])
    for word, schema in schemas:
        yield f"<details><summary>What it {word}, as JSON Schema</summary><pre>{_pretty(schema)}</pre></details>"


def _form(spec: ModelSpec, name: str, endpoint: Mapping[str, Any]) -> str:
    """Return the form that calls an endpoint of the very model, alias or version whose page this is."""
    files = endpoint["files"]
    shown = [(one.title, one.input) for one in spec.examples] if name == "predict" else []
    shown = shown or [("", sample(endpoint["input"]))]
    shown = [(title, _without(body, files)) for title, body in shown]
    options = "".join(
        f'<option value="{_pretty(body)}">{html.escape(title)}</option>' for title, body in shown if title
    )
    pick = f"<label>Example <select>{options}</select></label>" if len(shown) > 1 else ""
    uploads = "".join(
        f'<label>{html.escape(one)} <input type="file" name="{html.escape(one)}" multiple></label>' for one in files
    )
    streams = " data-streams" if endpoint.get("streams") else ""
    return (
        f'<form data-path="{html.escape(name)}"{streams}>{pick}{uploads}'
        f'<textarea spellcheck="false" aria-label="Body">{_pretty(shown[0][1])}</textarea>'
        '<button>Call it</button> <span class="said"></span><output></output></form>'
    )


def _without(body: Any, files: list[str]) -> Any:
    """Return an example without its files: those are chosen in the form."""
    return {key: value for key, value in body.items() if key not in files} if isinstance(body, dict) else body


def _pretty(value: Any) -> str:
    """Return ``value`` as JSON, escaped: on one line where it fits."""
    text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
    if len(text) > _LINE_MAX:
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=2)
    return html.escape(text)


def python(spec: ModelSpec, name: str, endpoint: Mapping[str, Any]) -> str:
    """Return a program that calls an endpoint: with the first example, else with values that its schema tells."""
    body = spec.examples[0].input if spec.examples and name == "predict" else sample(endpoint["input"])
    files = endpoint["files"]
    given = [f'{one}=File("FILE")' for one in files]
    plain = isinstance(body, dict) and all(str(key).isidentifier() for key in body)
    given += [f"{key}={value!r}" for key, value in body.items() if key not in files] if plain else []
    arguments = ", ".join(given) if plain else repr(body)
    way = "stream" if endpoint.get("streams") else "predict"
    call = f'Client().model("{spec.name}").{way}({arguments})'
    imported = "Client, File" if files else "Client"
    used = f'for piece in {call}:\n    print(piece, end="", flush=True)' if way == "stream" else f"print({call})"
    return f"from {__name__.partition('.')[0]} import {imported}\n\n{used}"


def curl(spec: ModelSpec, name: str, endpoint: Mapping[str, Any]) -> str:
    """Return a command that calls an endpoint: with the first example, else with values that its schema tells."""
    body = spec.examples[0].input if spec.examples and name == "predict" else sample(endpoint["input"])
    head = [f'curl -s "$FAIRLEAD_URL/v1/models/{spec.name}/{name}"', '-H "Authorization: Bearer $FAIRLEAD_TOKEN"']
    files = endpoint["files"]
    if not files:
        text = msgspec.json.encode(body).decode()
        return " \\\n  ".join([*head, "-H 'content-type: application/json'", f"-d {shlex.quote(text)}"])
    fields = [f"-F {one}=@FILE" for one in files]
    for one, value in body.items() if isinstance(body, dict) else ():
        if one in files:
            continue
        said = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        fields.append(f"-F {shlex.quote(f'{one}={said}')}")
    return " \\\n  ".join([*head, *fields])


def sample(schema: Mapping[str, Any], depth: int = 0) -> Any:
    """Return a value of a JSON Schema as the signature writes them; of an object what must be given."""
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return sample(schema[key][0], depth)
    kind = schema.get("type")
    if depth > _DEEP:
        return None
    if kind == "object":
        required = schema.get("required", ())
        return {one: sample(part, depth + 1) for one, part in schema.get("properties", {}).items() if one in required}
    if kind == "array":
        return [sample(schema.get("items", {}), depth + 1)] * min(schema.get("minItems", 1), _ITEMS_MAX)
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("maximum", 1))
    return {"string": "text", "boolean": True}.get(str(kind))
