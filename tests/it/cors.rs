//! What pages of other origins may read: the documents from anywhere, everything where the operator allows it.

use crate::support::TestServer;

const APP: &str = "https://app.example";

/// (method, path, headers, status, who may read it)
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], u16, &'static str);

#[tokio::test]
async fn who_may_read_what() {
    let server = TestServer::with(|config| config.allow_origin = vec![APP.to_owned()]).await;
    let ask = &[("origin", APP), ("access-control-request-method", "POST")];
    let foreign = &[("origin", "https://evil.example")];
    let foreign_asks = &[("origin", "https://evil.example"), ("access-control-request-method", "POST")];
    let cases: &[Case] = &[
        ("GET", "/worlds", &[("origin", APP)], 200, APP),
        ("GET", "/worlds/nowhere", &[("origin", APP)], 404, APP),
        ("GET", "/session/worlds", &[("origin", APP)], 401, APP),
        ("GET", "/worlds", &[], 200, ""),
        // Why it may not is for whoever writes the page.
        ("GET", "/worlds", foreign, 403, "*"),
        ("GET", "/openapi.json", foreign, 200, "*"),
        ("GET", "/openapi.json", &[], 200, "*"),
        ("GET", "/openapi.json", &[("origin", APP)], 200, "*"),
        ("GET", "/schema/client/ping.json", foreign, 200, "*"),
    ];
    let http = server.http();
    for (method, path, headers, status, readers) in cases {
        let answer = http.call(method, path, headers, None).await;
        let case = format!("{method} {path} {headers:?}");
        assert_eq!(answer.status, *status, "{case}");
        assert_eq!(answer.header("access-control-allow-origin"), *readers, "{case}");
        assert_eq!(answer.header("vary").contains("origin"), *readers == APP, "{case}");
    }
    // A browser asks before it sends JSON, a token or a key.
    for (path, headers, status, readers) in [
        ("/worlds/default-world/chat", &ask[..], 204, APP),
        ("/session", ask, 204, APP),
        ("/session", foreign_asks, 403, "*"),
        // Without the question, the method is one that the path has not.
        ("/session", &ask[..1], 405, APP),
    ] {
        let answer = http.preflight(path, headers).await;
        assert_eq!(answer.status, status, "{path} {headers:?}");
        assert_eq!(answer.header("access-control-allow-origin"), readers, "{path} {headers:?}");
        let allowed = if status == 204 { ("*", "authorization, *") } else { ("", "") };
        let told = ("access-control-allow-methods", "access-control-allow-headers");
        assert_eq!((answer.header(told.0), answer.header(told.1)), allowed, "{path} {headers:?}");
    }
}

#[tokio::test]
async fn a_new_token_can_be_read() {
    let server = TestServer::with(|config| config.allow_origin = vec![APP.to_owned()]).await;
    let headers = [("origin", APP), ("content-type", "application/json")];
    let body = br#"{"message": "hi"}"#.to_vec();
    let answer = server.http().call("POST", "/worlds/stage/chat", &headers, Some(body)).await;
    assert!(!answer.header("agent-world-token").is_empty());
    assert_eq!(answer.header("access-control-expose-headers"), "*");
}
