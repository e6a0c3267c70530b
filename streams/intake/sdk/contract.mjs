// JSON Schemas of event topics as TypeScript: per topic an interface from event type to the event's own fields.

// What the SDK sets by itself, or what is none of a page's business.
const OWN = new Set(["eventType", "timestamp", "eventId", "sessionId", "seq", "sentAt", "receivedAt"]);

export function contract(schemas) {
  const parts = Object.entries(schemas).map(([name, schema]) => topic(name, schema));
  return `// Made by build.mjs of schemas/generated/events/. Do not edit.\n\n${parts.join("\n")}`;
}

function topic(name, schema) {
  const events = schema.anyOf.map(({ $ref }) => schema.$defs[$ref.split("/").pop()]);
  const lines = [`export const ${name.toUpperCase()}_TOPIC = ${JSON.stringify(schema.title)};`, ""];
  lines.push(`/** Event type of ${schema.title} → the fields that an event of it may have. */`);
  lines.push(`export interface ${name}Events {`);
  for (const event of events) lines.push(...comment(event), `  ${event.properties.eventType.enum[0]}: {`, ...fields(event), "  };");
  return [...lines, "}", ""].join("\n");
}

function fields(event) {
  const required = new Set(event.required);
  return Object.entries(event.properties)
    .filter(([name]) => !OWN.has(name))
    .flatMap(([name, property]) => [
      ...comment(property).map((line) => `  ${line}`),
      `    ${name}${required.has(name) ? "" : "?"}: ${type(property)}${required.has(name) ? "" : " | undefined"};`,
    ]);
}

const comment = ({ description }) => (description ? [`  /** ${description} */`] : []);

function type(property) {
  const arms = (property.anyOf ?? [property]).filter((arm) => arm.type !== "null");
  return arms.map(single).join(" | ");
}

function single(arm) {
  if (arm.enum) return arm.enum.map((value) => JSON.stringify(value)).join(" | ");
  switch (arm.type) {
    case "string":
    case "boolean":
      return arm.type;
    case "integer":
    case "number":
      return "number";
    case "object":
      return arm.additionalProperties ? `Record<string, ${type(arm.additionalProperties)}>` : "Record<string, unknown>";
    case "array":
      return `(${arm.items ? type(arm.items) : "unknown"})[]`;
    default:
      throw new Error(`a field of a contract has no TypeScript: ${JSON.stringify(arm)}`);
  }
}
