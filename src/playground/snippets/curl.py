"""Calls in a POSIX shell."""

from collections.abc import Mapping

from playground.snippets.call import Call, File
from playground.snippets.literals import in_json, in_shell
from playground.snippets.template import fill, lines

RUN = r"""url=«url»
key='Authorization: Bearer YOUR_API_KEY'
«body»

job=$(«send»curl -sS "$url/run" -H "$key" -H 'Content-Type: application/json' «data»)
id=$(printf '%s' "$job" | sed -n 's/.*"id": *"\([^"]*\)".*/\1/p')
while printf '%s' "$job" | grep -q '"status": *"IN_'; do
  sleep 1
  job=$(curl -sS "$url/status/$id" -H "$key")
done
image=$(printf '%s' "$job" | sed -n 's/.*"image_url": *"\([^"]*\)".*/\1/p' | sed 's/\\u0026/\&/g')
if [ "$image" ]; then
  printf '%s\n' "$image"
else
  printf '%s\n' "$job" >&2
  false
fi
"""

RUNSYNC = r"""# It answers after 90 seconds at the latest, with an id if no image is there yet:
# curl -H 'Authorization: Bearer YOUR_API_KEY' «status»
«body»«send»curl -sS -X POST «url» \
  -H 'Authorization: Bearer YOUR_API_KEY' \
  -H 'Content-Type: application/json' \
  «data»
"""


def with_curl(call: Call) -> str:
    """Call by curl, and read the answers of /run with sed and grep."""
    each = lines(call.parameters, 2, lambda name, value: f'"{name}": {in_json(value)},')
    sync = call.operation == "runsync"
    if call.pictures:
        # By a pipe: no system takes an argument of megabytes.
        body, send, data = _with_files(each, call.pictures), "body | ", "--data-binary @-"
        body += "\n" if sync else ""
    else:
        whole = in_shell(f'{{"input": {{\n{each[:-1]}\n}}}}')
        body, send, data = ("", "", f"-d {whole}") if sync else (f"body={whole}", "", '-d "$body"')
    if not sync:
        return fill(RUN, url=in_shell(call.url), body=body, send=send, data=data)
    return fill(
        RUNSYNC,
        url=in_shell(f"{call.url}/runsync"),
        status=in_shell(f"{call.url}/status/ID"),
        body=body,
        send=send,
        data=data,
    )


def _with_files(parameters: str, pictures: Mapping[str, File]) -> str:
    """Return a function that writes the body, each file in base64 at its place."""
    begun, files = f'{{"input": {{\n{parameters}', []
    for name, file in pictures.items():
        begun += f'\n  "{name}": "data:{file.content_type};base64,'
        files += [f"  printf '%s' {in_shell(begun)}", f"  base64 < {file.name} | tr -d '\\n'"]
        begun = '",'
    return "\n".join(
        [
            "body() { # a request may have 10 MB by /run, 20 MB by /runsync",
            *files,
            f"  printf '%s' {in_shell(begun[:-1] + chr(10) + '}}')}",
            "}",
        ]
    )
