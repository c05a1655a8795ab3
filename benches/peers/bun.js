// Bun, with uWebSockets inside: echoes, or publishes to all who came by /subscribe.
const server = Bun.serve({
  port: Number(process.argv[2]),
  hostname: '127.0.0.1',
  fetch(request, server) {
    if (server.upgrade(request, { data: new URL(request.url).pathname })) return;
    return new Response('a WebSocket endpoint', { status: 400 });
  },
  websocket: {
    open(ws) {
      if (ws.data === '/subscribe') ws.subscribe('t');
    },
    message(ws, message) {
      if (ws.data === '/publish') server.publish('t', message);
      else ws.send(message);
    },
  },
});
console.log(`listening on ${server.port}`);
