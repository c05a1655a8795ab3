//! The generated Rust client against a running server: `agent-world-http URL`.

progenitor::generate_api!("../../../generated/openapi-3.0.json");

use futures_util::StreamExt;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let url = std::env::args().nth(1).ok_or("usage: agent-world-http URL")?;
    let session = Client::new(&url).create_session().await?.into_inner();

    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", *session.session_token))?);
    let client = Client::new_with_client(&url, reqwest::Client::builder().default_headers(headers).build()?);

    let templates = client.list_templates().await?.into_inner();
    assert!(templates.iter().any(|template| template.name.as_str() == "default-world"), "{templates:?}");

    let world = "generated".parse()?;
    let body = types::CreateWorldBody { template_name: "default-world".parse()?, persistent: false, title: None };
    let made = client.create_world(&world, &body).await?.into_inner();
    assert_eq!(made.template_name.as_str(), "default-world");
    let other = types::CreateWorldBody { template_name: "debate".parse()?, persistent: false, title: None };
    match client.create_world(&world, &other).await {
        // progenitor gives the body of an `application/problem+json` as bytes.
        Err(Error::ErrorResponse(refused)) => {
            assert_eq!(refused.status(), 409);
            let body: Vec<u8> = read(refused.into_inner()).await?;
            let problem: types::Problem = serde_json::from_slice(&body)?;
            assert_eq!(problem.code, types::ErrorCode::Conflict);
        }
        unexpected => return Err(format!("another template is no conflict: {unexpected:?}").into()),
    }

    let question: types::ChatBody = serde_json::from_str(r#"{"message": "Hello, agents!"}"#)?;
    let stream = client.chat(&world, None, None, None, &question).await?.into_inner();
    let text = String::from_utf8(read(stream).await?)?;
    assert!(text.contains("\"settled\""), "{text}");
    println!("5 calls, one a stream of {} bytes", text.len());
    Ok(())
}

async fn read(mut stream: ByteStream) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}
