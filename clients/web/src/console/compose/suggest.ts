import { openWorld, templates, worlds } from "../world/worlds.js";

/** Values that make sense for a field, from what this page shows at the moment. */
export function suggestions(field: string): string[] {
  const world = openWorld.value;
  switch (field) {
    case "agentName":
    case "targetAgent":
    case "agentFilter":
      return (world?.agents.value ?? []).map(({ name }) => name);
    case "worldName":
      return [...new Set([...(world === undefined ? [] : [world.name]), ...(worlds.value ?? []).map(({ worldName }) => worldName)])];
    case "templateName":
      return [...new Set([...(world === undefined ? [] : [world.selected.info.templateName]), ...(templates.value ?? []).map(({ name }) => name)])];
    case "after":
      return world === undefined ? [] : [`${world.selected.cursor.split(":")[0]}:0`, world.selected.cursor];
    case "messageId": {
      const rows = world?.timeline.rows.value.list ?? [];
      const ids = rows.flatMap((row) => ("notes" in row ? [] : row.speeches.filter(({ senderType }) => senderType !== "world").map(({ id }) => id)));
      return ids.slice(-8).reverse();
    }
    case "sender":
      return ["HUMAN", ...(world?.agents.value ?? []).map(({ name }) => name)];
    default:
      return [];
  }
}
