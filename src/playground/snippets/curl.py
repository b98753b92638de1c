"""Calls in a POSIX shell."""

from playground.snippets.call import Call
from playground.snippets.literals import in_json, in_shell
from playground.snippets.template import fill, lines

RUN = r"""url=«url»
key='Authorization: Bearer YOUR_API_KEY'
body=«body»

job=$(curl -sS "$url/run" -H "$key" -H 'Content-Type: application/json' -d "$body")
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
curl -sS -X POST «url» \
  -H 'Authorization: Bearer YOUR_API_KEY' \
  -H 'Content-Type: application/json' \
  -d «body»
"""


def with_curl(call: Call) -> str:
    """Call by curl, and read the answers of /run with sed and grep."""
    each = lines(call.parameters, 2, lambda name, value: f'"{name}": {in_json(value)},')
    body = in_shell(f'{{"input": {{\n{each[:-1]}\n}}}}')
    if call.operation == "run":
        return fill(RUN, url=in_shell(call.url), body=body)
    return fill(
        RUNSYNC,
        url=in_shell(f"{call.url}/runsync"),
        status=in_shell(f"{call.url}/status/ID"),
        body=body,
    )
