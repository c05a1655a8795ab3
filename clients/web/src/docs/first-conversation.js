const ws = new WebSocket('ws://localhost:3001/ws');

ws.onmessage = ({ data }) => console.log(data);

ws.onopen = () => {
  // Select a world
  ws.send(JSON.stringify({
    id: 'msg-1',
    type: 'world_select',
    timestamp: new Date().toISOString(),
    payload: {
      templateName: 'default-world',
      worldName: 'my-world',
      persistent: false
    }
  }));

  // Send chat message
  ws.send(JSON.stringify({
    id: 'msg-2',
    type: 'chat_send',
    timestamp: new Date().toISOString(),
    payload: {
      content: 'Hello, agents!',
      sender: 'HUMAN'
    }
  }));
};
