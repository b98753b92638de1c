// Unpacks Chromium and its libraries into $TMPDIR, as the package does by itself on AWS Lambda.
import chromium from "@sparticuz/chromium";

await chromium.executablePath();
