// Writes the types of the service's OpenAPI document, which is on standard input, to standard output.
//
// Error responses are left out, because all of them are an `ErrorBody`.
import { text } from "node:stream/consumers";
import openapiTS, { astToString } from "openapi-typescript";

const HEADER = "// Generated from the OpenAPI document of the service by `make client-types`; do not edit.\n";

function withoutErrors(document) {
  for (const operation of Object.values(document.paths).flatMap(Object.values)) {
    const responses = Object.entries(operation.responses).filter(([status]) => status < "300");
    for (const [, response] of responses) delete response.headers;
    operation.responses = Object.fromEntries(responses);
  }
  delete document.components.headers;
  delete document.components.responses;
  return document;
}

const document = JSON.parse(await text(process.stdin));
process.stdout.write(HEADER + astToString(await openapiTS(withoutErrors(document))));
