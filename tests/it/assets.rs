//! The web app: what its pages may do, how its files are encoded and kept.

use std::collections::BTreeSet;

use crate::support::*;

/// What `/` and `/docs` name below `/assets/`.
fn assets(page: &str) -> BTreeSet<String> {
    let quoted = page.split(['"', '\'']).filter(|text| text.starts_with("/assets/"));
    quoted.map(str::to_owned).collect()
}

#[tokio::test]
async fn pages_run_scripts_of_this_server_only_and_are_asked_for_again() {
    let server = TestServer::start().await;
    let http = server.http();
    for path in ["/", "/docs"] {
        let page = http.get(path).await;
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        let policy: Vec<_> = page.header("content-security-policy").split("; ").collect();
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(&directive), "{path}: {directive} is not in {policy:?}");
        }
        assert!(!page.header("content-security-policy").contains("unsafe-eval"));
        // Only the console's editor needs styles in the page.
        assert_eq!(page.header("content-security-policy").matches("unsafe-inline").count(), usize::from(path == "/"));
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-cache");
        assert!(!page.text.contains("<script>") && !page.text.contains("http://") && !page.text.contains("https://"));
        assert!(assets(&page.text).len() >= 3, "{path}: {}", page.text);

        let known = [("if-none-match", page.header("etag"))];
        let again = http.call("GET", path, &known, None).await;
        assert_eq!((again.status, again.text.as_str()), (304, ""), "{path}");
        assert_eq!(again.header("etag"), page.header("etag"));
        assert_eq!(again.header("vary"), "Accept-Encoding");
        let other = http.call("GET", path, &[("if-none-match", "\"another\", W/\"third\"")], None).await;
        assert_eq!(other.status, 200, "{path}");
    }
}

#[tokio::test]
async fn assets_are_kept_for_ever() {
    let server = TestServer::start().await;
    let http = server.http();
    let mut read = 0;
    for page in ["/", "/docs"] {
        for path in assets(&http.get(page).await.text) {
            let asset = http.get(&path).await;
            assert_eq!(asset.status, 200, "{path}");
            assert_eq!(asset.header("cache-control"), "public, max-age=31536000, immutable", "{path}");
            assert_eq!(asset.header("x-content-type-options"), "nosniff", "{path}");
            let media = asset.header("content-type");
            match path.rsplit('.').next() {
                Some("js") => assert_eq!(media, "text/javascript; charset=utf-8"),
                Some("css") => assert_eq!(media, "text/css; charset=utf-8"),
                Some("svg") => assert_eq!(media, "image/svg+xml"),
                other => panic!("{path}: {other:?}"),
            }
            assert_eq!(asset.header("content-length"), asset.text.len().to_string(), "{path}");
            let head = http.call("HEAD", &path, &[], None).await;
            for header in ["etag", "content-length", "content-type", "cache-control"] {
                assert_eq!(head.header(header), asset.header(header), "{path}: {header}");
            }
            read += 1;
        }
    }
    assert!(read >= 6, "only {read} assets");
}

#[tokio::test]
async fn the_client_chooses_the_encoding() {
    let server = TestServer::start().await;
    let http = server.http();
    let page = http.get("/docs").await;
    let script = assets(&page.text).into_iter().find(|path| path.ends_with(".js")).expect("a script");
    let mut tags = BTreeSet::new();
    for (path, fresh) in [(script.as_str(), "public"), ("/openapi.json", "no-cache"), ("/docs", "no-cache")] {
        let plain = http.get(path).await;
        for (accepted, encoding) in [
            ("gzip, deflate, br, zstd", "br"),
            ("gzip, deflate", "gzip"),
            ("br;q=0.2, gzip;q=0.8", "gzip"),
            ("br;q=0, gzip;q=0, *;q=0", ""),
            ("identity", ""),
            ("zstd", ""),
        ] {
            let what = format!("{path} for {accepted}");
            let answer = http.raw(path, &[("accept-encoding", accepted)]).await;
            assert_eq!(answer.header("content-encoding"), encoding, "{what}");
            assert_eq!(answer.header("vary"), "Accept-Encoding", "{what}");
            assert!(answer.header("cache-control").starts_with(fresh), "{what}");
            assert_eq!(answer.header("content-length"), answer.body.len().to_string(), "{what}");
            assert!(encoding.is_empty() == (answer.body == plain.text.as_bytes()), "{what}");
            assert!(encoding.is_empty() || answer.body.len() < plain.text.len() / 2 || path == "/docs", "{what}");
            let known = [("accept-encoding", accepted), ("if-none-match", answer.header("etag"))];
            assert_eq!(http.raw(path, &known).await.status, 304, "{what}");
            tags.insert(answer.header("etag").to_owned());
        }
    }
    assert_eq!(tags.len(), 9, "each encoding of each file has a tag of its own: {tags:?}");
}

#[tokio::test]
async fn nothing_else_is_served_as_an_asset() {
    let server = TestServer::start().await;
    let http = server.http();
    for (path, code) in [
        ("/assets/console.js", "NOT_FOUND"),
        ("/assets/index.html", "NOT_FOUND"),
        ("/assets/..%2Findex.html", "INVALID_MESSAGE"),
        ("/assets/%2E%2E%2F%2E%2E%2FCargo.toml", "INVALID_MESSAGE"),
        ("/assets/..%5C..%5CCargo.toml", "INVALID_MESSAGE"),
        ("/assets/.hidden", "INVALID_MESSAGE"),
        ("/assets/a%00.js", "INVALID_MESSAGE"),
        ("/assets/", "NOT_FOUND"),
        ("/assets", "NOT_FOUND"),
        ("/assets/a/b.js", "NOT_FOUND"),
    ] {
        let answer = http.get(path).await;
        answer.problem(code);
        assert_eq!(answer.header("cache-control"), "", "{path}: a problem is not kept");
    }
}

/// Errors lead to where they are explained, on both transports alike.
#[tokio::test]
async fn errors_name_their_place_in_the_documents() {
    let server = TestServer::start().await;
    let http = server.session().await;
    let place = "/docs#errors/WORLD_NOT_FOUND";
    let problem = http.get("/worlds/nowhere").await.problem("WORLD_NOT_FOUND").clone();
    assert_eq!((&problem["type"], &problem["docs"]), (&place.into(), &place.into()));
    let mut client = server.in_world("w").await;
    let error = client
        .fails("chat_send", serde_json::json!({"content": "hi", "worldName": "nowhere"}), "WORLD_NOT_FOUND")
        .await;
    assert_eq!(error["details"]["docs"], place);
    let codes = http.get("/catalogue.json").await.json()["errorCodes"].clone();
    let codes = codes.as_array().expect("a list");
    assert!(codes.len() >= 19);
    for code in codes {
        assert_eq!(code["docs"], format!("/docs#errors/{}", code["code"].as_str().unwrap()));
        assert!(code["advice"].as_str().is_some_and(|advice| advice.len() > 20), "{code}");
    }
}
