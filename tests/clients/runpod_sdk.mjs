// Every operation of Runpod's JavaScript client: node runpod_sdk.mjs '{"baseUrl", "endpoint", "input"}'
import runpodSdk from "runpod-sdk";

const { baseUrl, endpoint: id, input } = JSON.parse(process.argv[2]);
const endpoint = runpodSdk("any", { baseUrl }).endpoint(id);
const sync = await endpoint.runSync({ input });
const queued = await endpoint.run({ input });
let status = await endpoint.status(queued.id);
while (!status.completed) status = await endpoint.status(queued.id);
const cancelled = await endpoint.run({ input: { ...input, num_inference_steps: 50 } });
const cancel = await endpoint.cancel(cancelled.id);
const purge = await endpoint.purgeQueue();
const health = await endpoint.health();
console.log(JSON.stringify({ sync, queued, status, cancel, purge, health }));
