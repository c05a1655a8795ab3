//! The step that opens a WebSocket, or is refused one.

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::{
    client_async,
    tungstenite::{self, client::IntoClientRequest, http::HeaderValue},
};

use super::{
    change::{Edit, Select},
    mutant::Kind,
    pattern::hold,
    peer::{Line, Peer},
    play::{Player, about, code_pattern, failed, fit, media_type, no_to_stop},
    scenario::Connect,
    stage::{Stop, Taken},
    value::Values,
    watch::nothing,
};

impl Player {
    pub(super) async fn connect(
        &mut self,
        connect: &Connect,
        broken: Option<Kind>,
        until: Instant,
    ) -> Result<(), Stop> {
        let name = &connect.connect;
        let harness = |error: &dyn std::fmt::Display| Stop::Harness(error.to_string());
        let mut request =
            format!("ws://{}/ws", self.stage.host.authority()).into_client_request().map_err(|e| harness(&e))?;
        let text = |values: &Values, text: &str| -> Result<String, Stop> {
            Ok(values.fill(&json!(text))?.as_str().unwrap_or_default().to_owned())
        };
        let header = |text: String| HeaderValue::from_str(&text).map_err(|error| harness(&error));
        let headers = request.headers_mut();
        if let Some(token) = &connect.token {
            let token = text(&self.stage.values, token)?;
            headers.insert("authorization", header(format!("Bearer {token}"))?);
        }
        if !connect.protocols.is_empty() {
            let all: Vec<String> =
                connect.protocols.iter().map(|one| text(&self.stage.values, one)).collect::<Result<_, _>>()?;
            headers.insert("sec-websocket-protocol", header(all.join(", "))?);
        }
        for (name, value) in &connect.headers {
            let name = tungstenite::http::HeaderName::from_bytes(name.as_bytes()).map_err(|error| harness(&error))?;
            headers.insert(name, header(text(&self.stage.values, value)?)?);
        }
        self.stage.note("→", name, "GET /ws");
        let handshake = async {
            let stream = self.stage.host.tcp(connect.receive_buffer).await.map_err(tungstenite::Error::Io)?;
            client_async(request, stream).await
        };
        let handshake = tokio::time::timeout_at(until, handshake).await;
        let handshake = handshake.map_err(|_| failed(None, "the handshake does not end"))?;
        let refusal_expected = connect.status.is_some() || connect.problem.is_some();
        let (socket, response) = match handshake {
            Ok(_) if refusal_expected => return Err(failed(None, "the connection is accepted, and should be refused")),
            Ok(both) => both,
            Err(tungstenite::Error::Http(response)) if refusal_expected => {
                return self.refused(connect, &response, broken);
            }
            Err(error) => return Err(failed(None, format!("the handshake fails: {error}"))),
        };
        if let Some(echo) = &connect.echo {
            let mut echoed = response.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok());
            if broken == Some(Kind::Header) {
                self.fire();
                echoed = if echoed.is_some() { None } else { Some("mutant") };
            }
            let echoed = echoed.map(|echoed| json!(echoed));
            hold(echo, echoed.as_ref(), &mut self.stage.values).map_err(|no| no_to_stop(no, "the subprotocol"))?;
        }
        let mut peer = Peer::new(Line::Socket(Box::new(socket)));
        peer.standing.slow = connect.receive_buffer.is_some() || self.stage.tight;
        self.stage.peers.insert(name.clone(), peer);
        if connect.greeting == Some(false) {
            return Ok(());
        }
        match broken {
            Some(Kind::Lose) => self.stage.arm(name, Select::First, Edit::Lose)?,
            Some(Kind::Alter) => {
                let ok = connect.ok.clone().unwrap_or_default();
                self.stage.arm(name, Select::First, Edit::Alter(json!({"payload": {"data": ok}})))?;
            }
            _ => {}
        }
        let greeting = match self.stage.take(name, until).await? {
            Taken::Frame(frame) => frame.json,
            other => return Err(failed(None, format!("`connected` should come first; {}", nothing(&other)))),
        };
        fit(&json!({"type": "status", "payload": {"type": "connected"}}), &greeting, &mut self.stage.values)?;
        let data = &greeting["payload"]["data"];
        if let Some(ok) = &connect.ok {
            fit(ok, data, &mut self.stage.values)?;
        }
        self.stage.values.set(format!("{name}.user"), data["userId"].clone());
        let token = match (data["sessionToken"].as_str(), &connect.token) {
            (Some(token), _) => token.to_owned(),
            (None, Some(token)) => text(&self.stage.values, token)?,
            (None, None) => return Ok(()),
        };
        self.stage.values.set(format!("{name}.token"), json!(token));
        self.stage.tokens.push(token);
        Ok(())
    }

    fn refused(
        &mut self,
        connect: &Connect,
        response: &tungstenite::http::Response<Option<Vec<u8>>>,
        broken: Option<Kind>,
    ) -> Result<(), Stop> {
        let mut status = response.status().as_u16();
        let body = response.body().clone().unwrap_or_default();
        self.stage.note("←", &connect.connect, &format!("{status} {}", String::from_utf8_lossy(&body)));
        let media = response.headers().get("content-type").and_then(|value| value.to_str().ok()).map(media_type);
        if !body.is_empty() {
            self.check_answer("GET", "/ws", status, media.as_deref(), &body);
        }
        if broken == Some(Kind::Status) {
            self.fire();
            status = 418;
        }
        let expected = connect.status.map_or(json!({"$min": 400}), |status| json!(status));
        fit(&expected, &json!(status), &mut self.stage.values).map_err(|stop| about(stop, "the status"))?;
        let Some(problem) = &connect.problem else { return Ok(()) };
        if broken.is_some() {
            return Err(failed(None, "another status"));
        }
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        fit(&code_pattern(problem), &json, &mut self.stage.values)
    }
}
