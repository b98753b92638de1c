"""Calls in JavaScript, as modules for Node.js and for browsers."""

from collections.abc import Mapping
from typing import Any

from flux_worker.contract.catalog import DEV, KONTEXT, SCHNELL
from playground.places import RUNPOD
from playground.snippets.call import Call, File
from playground.snippets.literals import in_javascript
from playground.snippets.template import fill, lines

FETCH = """\
«reading»const url = «url»;
const headers = { Authorization: "Bearer YOUR_API_KEY", "Content-Type": "application/json" };
const input = {
«input»
};

const sent = await fetch(`${url}/«operation»`, {
  method: "POST",
  headers,
  body: JSON.stringify({ input }),
});
let job = await sent.json();
while (job.status === "IN_QUEUE" || job.status === "IN_PROGRESS") {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  job = await (await fetch(`${url}/status/${job.id}`, { headers })).json();
}
if (job.status !== "COMPLETED") throw new Error(job.error ?? JSON.stringify(job));
console.log(job.output.image_url);
"""

READING = """\
import { readFile } from "node:fs/promises"; // in a browser: FileReader.readAsDataURL()
«imports»
// A request may have 10 MB by /run, 20 MB by /runsync.
const dataUrl = async (type, file) => `data:${type};base64,${await readFile(file, "base64")}`;

"""

AI_SDK_IMPORTS = """\
import { createRunpod } from "@runpod/ai-sdk-provider";
import { generateImage } from "ai";
"""
AI_SDK = """\
«reading»const runpod = createRunpod({ apiKey: "YOUR_API_KEY"«base» });
«note»const { providerMetadata } = await generateImage({
  model: runpod.imageModel(«model»),
  prompt: «prompt»,
«seed»  maxRetries: 0, // each would be another image, with its cost
  providerOptions: {
    runpod: {
«options»
      pollIntervalMillis: 2000,
      maxPollAttempts: 1800, // an hour
    },
  },
});
console.log(providerMetadata.runpod.images[0].url); // the result's image.uint8Array is the file
"""
ALWAYS_RUNSYNC = "// The AI SDK always sends jobs to /runsync, and polls /status from then on.\n"
SENT_ANYWAY = ("width", "height", "num_inference_steps", "guidance", "image_format")
"""What the provider has defaults of its own for. Its `size` takes some sizes only."""
KNOWN = (DEV, SCHNELL, KONTEXT)
"""The models whose public endpoints the provider finds by itself."""


def with_fetch(call: Call) -> str:
    """Call by what the language has."""
    return fill(
        FETCH,
        url=in_javascript(call.url),
        operation=call.operation,
        input=_properties({**call.parameters, **call.pictures}, indent=2),
        reading=fill(READING, imports="") if call.pictures else "",
    )


def with_ai_sdk(call: Call) -> str:
    """Call by Vercel's AI SDK and Runpod's provider for it."""
    given, defaults = dict(call.parameters), call.model.parameters.defaults()
    if call.sides:  # else its own size would decide
        defaults["width"], defaults["height"] = call.sides
    prompt = in_javascript(given.pop("prompt"))
    seed = f"  seed: {in_javascript(given.pop('seed'))},\n" if "seed" in given else ""
    found = call.model in KNOWN and call.url == f"{RUNPOD}/{call.model.endpoint_id}"
    return fill(
        AI_SDK,
        reading=(fill(READING, imports=AI_SDK_IMPORTS) if call.pictures else f"{AI_SDK_IMPORTS}\n"),
        base="" if found else f", baseURL: {in_javascript(call.url)}",
        note=ALWAYS_RUNSYNC if call.operation == "run" else "",
        model=in_javascript(call.model.repository.lower().replace(".", "-")),
        prompt=prompt,
        seed=seed,
        options=_properties(
            {**{name: defaults[name] for name in SENT_ANYWAY}, **given, **call.pictures}, indent=6
        ),
    )


def _properties(values: Mapping[str, Any], indent: int) -> str:
    return lines(values, indent, lambda name, value: f"{name}: {_expression(value)},")


def _expression(value: object) -> str:
    if isinstance(value, File):
        type_, name = in_javascript(value.content_type), in_javascript(value.name)
        return f"await dataUrl({type_}, {name})"
    return in_javascript(value)
