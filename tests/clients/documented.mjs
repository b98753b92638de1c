// The documentation's use of fetch (docs.runpod.io, "Make API requests"):
// node documented.mjs '{"url", "sync", "queued"}', the bodies of /runsync and /run.
const { url, sync, queued } = JSON.parse(process.argv[2]);
const headers = { Authorization: "Bearer YOUR_API_KEY", "Content-Type": "application/json" };
const post = (operation, body) =>
  fetch(`${url}/${operation}`, { method: "POST", headers, body: JSON.stringify(body) });

const first = await (await post("runsync", sync)).json();
const { id } = await (await post("run", queued)).json();
let second;
do {
  await new Promise((resolve) => setTimeout(resolve, 200));
  second = await (await fetch(`${url}/status/${id}`, { headers })).json();
} while (!["COMPLETED", "FAILED"].includes(second.status));
console.log(JSON.stringify({ first, second }));
