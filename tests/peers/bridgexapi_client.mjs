// Drive the published Node client against a server: steps as JSON in, their answers as JSON out.
import { pathToFileURL } from "node:url";
import path from "node:path";

const [baseUrl, apiKey, ...steps] = process.argv.slice(2);
const home = path.join(process.env.NODE_PATH, "bridgexapi", "src", "index.js");
const { BridgeXAPI } = await import(pathToFileURL(home).href);
const client = new BridgeXAPI({ apiKey, baseUrl });

const answers = [];
for (const step of steps) {
  const [method, argument] = JSON.parse(step);
  try {
    answers.push({ value: await client[method](argument) });
  } catch (error) {
    answers.push({
      error: error.name,
      message: error.message,
      status: error.statusCode,
    });
  }
}
process.stdout.write(JSON.stringify(answers) + "\n");
