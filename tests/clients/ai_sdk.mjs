// One call of the AI SDK with Runpod's provider: node ai_sdk.mjs '{"model", "baseURL", …options}'
// Pictures in a prompt, {"text", "images"}, are files in base64.
import { createRunpod } from "@runpod/ai-sdk-provider";
import { generateImage } from "ai";

const { model, baseURL, ...options } = JSON.parse(process.argv[2]);
if (options.prompt.images) {
  options.prompt.images = options.prompt.images.map((file) => new Uint8Array(Buffer.from(file, "base64")));
}
const runpod = createRunpod({ baseURL, apiKey: "any" });
try {
  const { images } = await generateImage({ model: runpod.imageModel(model), ...options, maxRetries: 0 });
  console.log(JSON.stringify({ images: images.map((image) => image.base64) }));
} catch (error) {
  console.log(JSON.stringify({ error: String(error.message) }));
}
