// socket.io on Node: echoes, or emits to everybody what comes by the namespace /publish.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const http = createServer();
const io = new Server(http, { transports: ['websocket'] });
io.on('connection', (socket) => socket.on('m', (message) => socket.emit('m', message)));
io.of('/publish').on('connection', (socket) => socket.on('m', (message) => io.emit('m', message)));
http.listen(Number(process.argv[2]), '127.0.0.1', () => console.log(`listening on ${http.address().port}`));
