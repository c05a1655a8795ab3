//! The steps that speak HTTP: requests, and streams of server-sent events.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    change::altered,
    mutant::Kind,
    pattern::hold,
    peer::{Line, Peer},
    play::{Player, about, code_pattern, failed, fit, joined, media_type, no_to_stop},
    published::published,
    scenario::Http,
    stage::Stop,
    standing::fault,
};

impl Player {
    async fn request(&mut self, http: &Http) -> Result<(String, reqwest::Response), Stop> {
        let values = &self.stage.values;
        let text = |text: &str| -> Result<String, Stop> {
            Ok(values.fill(&json!(text))?.as_str().unwrap_or_default().to_owned())
        };
        let harness = |error: &dyn std::fmt::Display| Stop::Harness(error.to_string());
        let path = text(&http.path)?;
        let method = reqwest::Method::from_bytes(http.method.as_bytes()).map_err(|error| harness(&error))?;
        let mut request = self.stage.client.request(method, self.stage.host.http(&path));
        if let Some(token) = &http.token {
            request = request.bearer_auth(text(token)?);
        }
        let mut media = None;
        for (name, value) in &http.headers {
            let value = text(value)?;
            if name.eq_ignore_ascii_case("content-type") {
                media = Some(value.clone());
            }
            request = request.header(name, value);
        }
        let (mut body, mut said) = (None, String::new());
        if let Some(json) = &http.body {
            let json = values.fill(json)?;
            let media = media.as_deref().map_or("application/json".to_owned(), media_type);
            let wrong = published().request(&http.method, &path, &media, &json);
            if !wrong.is_empty() {
                return Err(Stop::Harness(format!("not a body that the route takes: {}\n{json}", wrong.join("; "))));
            }
            said = json.to_string();
        } else if let Some(raw) = &http.raw {
            said = joined(values, raw)?;
        }
        if http.body.is_some() || http.raw.is_some() {
            if media.is_none() {
                request = request.header("content-type", "application/json");
            }
            body = Some(said.clone());
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        self.stage.note("→", "http", &format!("{} {path} {said}", http.method));
        if let Some(route) = published().route(&http.method, &path) {
            self.stage.touched.routes.extend(route["operationId"].as_str().map(str::to_owned));
        }
        let sent = tokio::time::timeout(self.stage.limit, request.send()).await;
        let sent = sent.map_err(|_| failed(None, "no answer within the time limit"))?;
        Ok((path, sent.map_err(|error| failed(None, format!("no answer over HTTP: {error:?}")))?))
    }

    /// The one place where answers over HTTP are held against the schemas.
    pub fn check_answer(
        &mut self,
        method: &str,
        path: &str,
        status: u16,
        media: Option<&str>,
        body: &[u8],
    ) -> Option<Value> {
        let answered = published().answer(method, path, status, media, body);
        let what = format!("{method} {path} → {status}");
        self.stage.faults.extend(answered.faults.into_iter().map(|wrong| fault("schema", format!("{what}: {wrong}"))));
        let text = String::from_utf8_lossy(body);
        if let Some(secret) = self.stage.secrets.iter().find(|secret| text.contains(secret.as_str())) {
            let start: String = secret.chars().take(4).collect();
            self.stage.faults.push(fault("secret", format!("{what} tells the secret {start}…")));
        }
        if let Some(json) = &answered.json {
            if status >= 400 {
                self.stage.touched.codes.extend(json["code"].as_str().map(str::to_owned));
            }
            self.stage.tokens.extend(json["sessionToken"].as_str().map(str::to_owned));
        }
        answered.json
    }

    fn headers(&mut self, http: &Http, headers: &BTreeMap<String, String>, broken: Option<Kind>) -> Result<(), Stop> {
        for (name, pattern) in &http.answer_headers {
            let mut value = headers.get(name).map(|value| json!(value));
            if broken == Some(Kind::Header) {
                self.fire();
                value = if value.is_some() { None } else { Some(json!("mutant")) };
            }
            hold(pattern, value.as_ref(), &mut self.stage.values)
                .map_err(|no| no_to_stop(no, &format!("the header {name}")))?;
        }
        Ok(())
    }

    fn status(&mut self, http: &Http, mut status: u16, broken: Option<Kind>) -> Result<(), Stop> {
        if broken == Some(Kind::Status) {
            self.fire();
            status = if http.problem.is_some() { 299 } else { 499 };
        }
        let usual = if http.problem.is_some() { json!({"$min": 400}) } else { json!({"$min": 200, "$max": 299}) };
        let expected = http.status.clone().unwrap_or(usual);
        fit(&expected, &json!(status), &mut self.stage.values).map_err(|stop| about(stop, "the status"))
    }

    pub async fn http(&mut self, http: &Http, broken: Option<Kind>) -> Result<(), Stop> {
        let (path, response) = self.request(http).await?;
        let (status, headers) = head(&response);
        let body = tokio::time::timeout(self.stage.limit, response.bytes()).await;
        let body = body.map_err(|_| failed(None, "the answer does not end within the time limit"))?;
        let body = body.map_err(|error| failed(None, format!("the answer breaks off: {error}")))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        self.stage.note("←", "http", &format!("{status} {text}"));
        let media = headers.get("content-type").map(|value| media_type(value));
        let json = self.check_answer(&http.method, &path, status, media.as_deref(), &body);
        self.status(http, status, broken)?;
        self.headers(http, &headers, broken)?;
        if let Some(pattern) = &http.text {
            fit(pattern, &json!(text), &mut self.stage.values)?;
        }
        let pattern = http.ok.clone().or(http.problem.as_ref().map(code_pattern));
        let Some(pattern) = pattern else { return Ok(()) };
        let mut json = json.ok_or_else(|| failed(None, "the answer has no JSON body"))?;
        if broken == Some(Kind::Alter) {
            self.fire();
            json = altered(&pattern, &json, &self.stage.values);
        }
        fit(&pattern, &json, &mut self.stage.values)
    }

    pub async fn stream(&mut self, http: &Http, broken: Option<Kind>) -> Result<(), Stop> {
        let (path, response) = self.request(http).await?;
        let (status, headers) = head(&response);
        self.stage.note("←", "http", &format!("{status} {headers:?}"));
        let media = headers.get("content-type").map(|value| media_type(value));
        if status != 200 || media.as_deref() != Some("text/event-stream") {
            // Another kind of stream may never end.
            let body = tokio::time::timeout(self.stage.limit, response.bytes()).await;
            let body = body.ok().and_then(Result::ok).unwrap_or_default();
            let text = String::from_utf8_lossy(&body).into_owned();
            self.stage.note("←", "http", &text);
            self.check_answer(&http.method, &path, status, media.as_deref(), &body);
            return Err(failed(None, format!("no stream of events: {status} {text}")));
        }
        self.status(http, status, broken)?;
        self.headers(http, &headers, broken)?;
        if let Some(token) = headers.get("agent-world-token") {
            self.stage.tokens.push(token.clone());
        }
        let line = Line::Stream { response: Box::new(response), buffer: Vec::new() };
        self.stage.peers.insert(http.name.clone().unwrap_or_default(), Peer::new(line));
        Ok(())
    }

    /// Removes the worlds that this scenario made, and with them the replies that still run.
    pub async fn tidy(&mut self) {
        let mut tokens = std::mem::take(&mut self.stage.tokens);
        tokens.sort();
        tokens.dedup();
        for token in tokens {
            let client = self.stage.client.clone();
            let host = self.stage.host.clone();
            let removal = async {
                let list = client.get(host.http("/session/worlds")).bearer_auth(&token).send().await.ok()?;
                let list: Value = serde_json::from_slice(&list.bytes().await.ok()?).ok()?;
                for world in list.as_array()? {
                    let path = format!("/worlds/{}", world["worldName"].as_str()?.replace(' ', "%20"));
                    client.delete(host.http(&path)).bearer_auth(&token).send().await.ok()?;
                }
                Some(())
            };
            let _ = tokio::time::timeout(self.stage.limit, removal).await;
        }
    }
}

fn head(response: &reqwest::Response) -> (u16, BTreeMap<String, String>) {
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    (response.status().as_u16(), headers.collect())
}
