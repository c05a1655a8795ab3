//! [`Client`]: a WebSocket client. Every frame passes through [`Client::next`], which believes none of them.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpSocket, net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest, http::Response},
};

use super::{Host, PATIENCE, schemas};

/// How a connection is opened.
#[derive(Default, Clone)]
pub struct Opening {
    /// As `Authorization: Bearer`.
    pub token: Option<String>,
    /// `Sec-WebSocket-Protocol`.
    pub protocols: Option<String>,
    pub headers: Vec<(&'static str, String)>,
    /// Bytes of the kernel's receive buffer.
    pub receive_buffer: Option<u32>,
}

/// A frame of the server: the text as it came, and what it says.
#[derive(Clone, Debug)]
pub struct Frame {
    pub text: String,
    pub json: Value,
}

impl Frame {
    pub fn payload(&self) -> &Value {
        &self.json["payload"]
    }

    pub fn kind(&self) -> &str {
        self.json["type"].as_str().unwrap_or_default()
    }

    pub fn seq(&self) -> Option<u64> {
        self.json["seq"].as_u64()
    }

    /// The payload of an event of `kind` (`message`, `world`, `system`).
    pub fn event(&self, kind: &str) -> Option<&Value> {
        let event = &self.payload()["event"];
        (self.kind() == "event_stream" && event["type"] == kind).then(|| &event["payload"])
    }

    /// The payload of a `world` or `system` event with that action.
    pub fn action(&self, action: &str) -> Option<&Value> {
        self.event("world").or_else(|| self.event("system")).filter(|payload| payload["action"] == action)
    }

    pub fn settles(&self, root: &str) -> bool {
        self.action("settled").is_some_and(|payload| payload["rootId"] == root)
    }

    pub fn reply(&self) -> Option<&Value> {
        (self.kind() == "chat_response").then(|| self.payload())
    }

    pub fn is_start(&self) -> bool {
        self.reply().is_some_and(|reply| reply["complete"] == false && self.seq().is_some())
    }

    pub fn is_delta(&self) -> bool {
        self.reply().is_some() && self.seq().is_none()
    }

    /// The end of a reply of that agent.
    pub fn ends(&self, agent: &str) -> bool {
        self.reply().is_some_and(|reply| reply["complete"] == true && reply["agentName"] == agent)
    }

    pub fn is_end(&self) -> bool {
        self.reply().is_some_and(|reply| reply["complete"] == true)
    }

    pub fn status(&self, status: &str) -> Option<&Value> {
        (self.kind() == "status" && self.payload()["type"] == status).then(|| &self.payload()["data"])
    }
}

/// What a connection brings next.
pub enum Received {
    Frame(Frame),
    /// The close code; none when the connection just ended.
    Closed(Option<u16>),
}

pub struct Client {
    socket: WebSocketStream<TcpStream>,
    /// Pushes that nobody has asked for yet.
    backlog: VecDeque<Frame>,
    host: Host,
    ids: u64,
    /// The handshake's answer.
    pub handshake: Response<Option<Vec<u8>>>,
    pub user: String,
    /// The token that came with `connected`.
    pub token: Option<String>,
    /// The `cursor` of the last `world_selected`.
    pub cursor: String,
}

impl Client {
    pub async fn open(host: &Host, opening: Opening) -> Result<Self, Box<tungstenite::Error>> {
        let mut request = format!("ws://{}/ws", host.address).into_client_request()?;
        let headers = request.headers_mut();
        let header = |value: &str| tungstenite::http::HeaderValue::from_str(value).expect("a header");
        if let Some(token) = &opening.token {
            headers.insert("authorization", header(&format!("Bearer {token}")));
        }
        if let Some(protocols) = &opening.protocols {
            headers.insert("sec-websocket-protocol", header(protocols));
        }
        for (name, value) in &opening.headers {
            headers.insert(*name, header(value));
        }
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = opening.receive_buffer {
            socket.set_recv_buffer_size(bytes).expect("a smaller buffer");
        }
        let stream = socket.connect(host.address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a socket option");
        let (socket, handshake) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Self {
            socket,
            backlog: VecDeque::new(),
            host: host.clone(),
            ids: 0,
            handshake,
            user: String::new(),
            token: None,
            cursor: String::new(),
        })
    }

    /// The first frame of a connection that is not refused.
    pub async fn greeting(&mut self) {
        let frame = self.next().await;
        let data = frame.status("connected").unwrap_or_else(|| panic!("`connected` comes first: {}", frame.text));
        self.user = data["userId"].as_str().expect("a user").to_owned();
        self.token = data["sessionToken"].as_str().map(str::to_owned);
    }

    pub fn token(&self) -> &str {
        self.token.as_deref().expect("a new token came with `connected`")
    }

    // Sending.

    /// Sends a frame that the schema allows; returns its id.
    pub async fn send(&mut self, kind: &str, payload: Value) -> String {
        self.send_frame(json!({"type": kind, "payload": payload})).await
    }

    /// Sends a frame that the schema allows; an id is put in if there is none.
    pub async fn send_frame(&mut self, mut frame: Value) -> String {
        if frame.get("id").is_none() {
            self.ids += 1;
            frame["id"] = json!(format!("c-{}", self.ids));
        }
        if let Err(why) = schemas().is_client_frame(&frame) {
            panic!("not a frame that a client may send: {why}\n{frame}");
        }
        self.send_raw(frame.to_string()).await;
        frame["id"].as_str().expect("an id").to_owned()
    }

    /// Sends text as it is.
    pub async fn send_raw(&mut self, text: impl Into<String>) {
        self.send_message(Message::text(text.into())).await;
    }

    pub async fn send_message(&mut self, message: Message) {
        self.socket.send(message).await.expect("the connection is open");
    }

    // Receiving.

    /// What comes next: the one place where anything is received.
    pub async fn receive(&mut self) -> Received {
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await;
            let next = next.unwrap_or_else(|_| panic!("nothing came; waiting: {:#?}", self.texts()));
            match next {
                Some(Ok(Message::Text(text))) => {
                    self.host.heard(text.as_str());
                    return Received::Frame(Frame { json: schemas().server_frame(&text), text: text.to_string() });
                }
                Some(Ok(Message::Close(frame))) => return Received::Closed(frame.map(|frame| frame.code.into())),
                Some(Ok(Message::Binary(_))) => panic!("the server sent a binary frame"),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Received::Closed(None),
            }
        }
    }

    fn texts(&self) -> Vec<&str> {
        self.backlog.iter().map(|frame| frame.text.as_str()).collect()
    }

    async fn arrive(&mut self) -> Frame {
        match self.receive().await {
            Received::Frame(frame) => frame,
            Received::Closed(code) => panic!("closed with {code:?}; waiting: {:#?}", self.texts()),
        }
    }

    /// The next frame, in the order of arrival.
    pub async fn next(&mut self) -> Frame {
        match self.backlog.pop_front() {
            Some(frame) => frame,
            None => self.arrive().await,
        }
    }

    /// The next frame that `is_it`; those before it stay for later.
    pub async fn expect(&mut self, is_it: impl Fn(&Frame) -> bool) -> Frame {
        if let Some(at) = self.backlog.iter().position(&is_it) {
            return self.backlog.remove(at).expect("it is there");
        }
        loop {
            let frame = self.arrive().await;
            if is_it(&frame) {
                return frame;
            }
            self.backlog.push_back(frame);
        }
    }

    /// All frames that wait, and further ones up to the first that `is_it`.
    pub async fn until(&mut self, is_it: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await;
            let last = is_it(&frame);
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }

    /// All frames up to the event that settles `root`.
    pub async fn until_settled(&mut self, root: &str) -> Vec<Frame> {
        self.until(|frame| frame.settles(root)).await
    }

    /// Everything that came before the server answered a ping sent now.
    pub async fn drain(&mut self) -> Vec<Frame> {
        self.ok("ping", json!({})).await;
        self.backlog.drain(..).collect()
    }

    /// The code with which the server closes, and the frames before that.
    pub async fn closed(&mut self) -> (Option<u16>, Vec<Frame>) {
        let mut frames: Vec<_> = self.backlog.drain(..).collect();
        loop {
            match self.receive().await {
                Received::Frame(frame) => frames.push(frame),
                Received::Closed(code) => return (code, frames),
            }
        }
    }

    /// Closes, and waits until the server has seen it.
    pub async fn close(mut self) {
        let _ = self.socket.close(None).await;
        while let Some(Ok(_)) = timeout(PATIENCE, self.socket.next()).await.expect("the server closes, too") {}
    }

    // Asking.

    /// Sends a request; returns what answers it, an error too. An error is one that the request lists.
    pub async fn request(&mut self, kind: &str, payload: Value) -> Frame {
        self.request_frame(json!({"type": kind, "payload": payload})).await
    }

    pub async fn request_frame(&mut self, frame: Value) -> Frame {
        let kind = frame["type"].as_str().expect("a type").to_owned();
        let id = self.send_frame(frame).await;
        let answer = self.answer(&id).await;
        if answer.kind() == "error" {
            schemas().error_is_listed(&kind, answer.payload()["code"].as_str().unwrap_or_default());
        } else {
            let reply = schemas().files()[&format!("client/{kind}.json")]["x-reply"].as_str().expect("a reply");
            let (wire, variant) = reply.split_once('/').map_or((reply, None), |(wire, variant)| (wire, Some(variant)));
            assert_eq!(answer.kind(), wire, "{}", answer.text);
            assert!(variant.is_none_or(|variant| answer.payload()["type"] == variant), "{}", answer.text);
        }
        answer
    }

    pub async fn answer(&mut self, id: &str) -> Frame {
        self.expect(|frame| frame.json["replyTo"] == id).await
    }

    /// The payload that answers a request that succeeds; of a `status`, its data.
    pub async fn ok(&mut self, kind: &str, payload: Value) -> Value {
        let answer = self.request(kind, payload).await;
        assert_ne!(answer.kind(), "error", "{kind}: {}", answer.text);
        match answer.kind() {
            "status" => answer.payload()["data"].clone(),
            _ => answer.payload().clone(),
        }
    }

    /// The error that answers a request.
    pub async fn fails(&mut self, kind: &str, payload: Value, code: &str) -> Value {
        let answer = self.request(kind, payload).await;
        assert_eq!(answer.kind(), "error", "{kind}: {}", answer.text);
        assert_eq!(answer.payload()["code"], code, "{kind}: {}", answer.text);
        answer.payload().clone()
    }

    /// The error that answers a text which is no valid frame.
    pub async fn refused(&mut self, text: impl Into<String>) -> Frame {
        self.send_raw(text).await;
        let answer = self.expect(|frame| frame.kind() == "error").await;
        assert_eq!(answer.payload()["code"], "INVALID_MESSAGE", "{}", answer.text);
        answer
    }

    /// Selects a world.
    pub async fn select(&mut self, template: &str, world: &str) -> Value {
        self.select_with(json!({"templateName": template, "worldName": world})).await
    }

    pub async fn select_with(&mut self, payload: Value) -> Value {
        let selected = self.ok("world_select", payload).await;
        self.cursor = selected["cursor"].as_str().expect("a cursor").to_owned();
        selected
    }

    /// The cursor of `seq` in the selected world.
    pub fn at(&self, seq: u64) -> String {
        format!("{}:{seq}", self.cursor.split(':').next().expect("an epoch"))
    }

    /// Says something as a human; returns `message_accepted`.
    pub async fn say(&mut self, content: &str) -> Value {
        self.ok("chat_send", json!({"content": content})).await
    }

    /// Says something, and returns all frames until it is settled.
    pub async fn converse(&mut self, content: &str) -> Vec<Frame> {
        let accepted = self.say(content).await;
        self.until_settled(accepted["messageId"].as_str().expect("an id")).await
    }
}
