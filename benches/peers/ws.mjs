// `ws` on Node: echoes, or sends to all who came by /subscribe.
import { WebSocketServer } from 'ws';

const subscribers = new Set();
const server = new WebSocketServer({ port: Number(process.argv[2]), host: '127.0.0.1' });
server.on('connection', (ws, request) => {
  if (request.url === '/subscribe') {
    subscribers.add(ws);
    ws.on('close', () => subscribers.delete(ws));
  }
  ws.on('message', (data, binary) => {
    if (request.url !== '/publish') return ws.send(data, { binary });
    for (const subscriber of subscribers) subscriber.send(data, { binary });
  });
});
server.on('listening', () => console.log(`listening on ${server.address().port}`));
