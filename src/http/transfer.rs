//! Export and import: the whole log of a world as NDJSON, without secrets. The first line says what it is.

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::task::coop::consume_budget;
use uuid::Uuid;

use super::{Context, Http, worlds::world};
use crate::{
    error::Failure,
    log::{Draft, Limit, Record},
    protocol::{ErrorCode, ErrorDetails, TemplateName, Violation, Violations, World, WorldName},
    world::{Entered, Event, Import, now_ms, storage},
};

const FORMAT: &str = "agent-world.export";
const VERSION: u32 = 1;
const PAGE: Limit = Limit { records: 500, bytes: 1024 * 1024 };

/// The first line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Head {
    format: String,
    version: u32,
    world_name: WorldName,
    template_name: TemplateName,
    persistent: bool,
    /// The last `seq` that follows, so that a piece is not taken for the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head: Option<u64>,
}

/// Every other line: one record of the log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    seq: u64,
    id: Uuid,
    at_ms: i64,
    event: Box<RawValue>,
}

impl Http {
    pub async fn export(&self, context: &Context, name: &WorldName) -> Result<Body, Failure> {
        let (_, Entered { cell, presence }) = self.own(context, name).await?;
        let last = cell.hub.head();
        let head = Head {
            format: FORMAT.to_owned(),
            version: VERSION,
            world_name: cell.name.clone(),
            template_name: cell.view().await?.template_name,
            persistent: cell.is_persistent(),
            head: Some(last),
        };
        let head = line(&head)?;
        let lines = async_stream::try_stream! {
            let _here = presence;
            yield head;
            let mut after = 0;
            loop {
                let page = cell.services.log.read(cell.id, after, PAGE).await.map_err(storage).map_err(broken)?;
                if page.floor > after {
                    // What an older log no longer has is left out; the numbers say so.
                    after = page.floor;
                    continue;
                }
                if page.records.is_empty() && after < last {
                    Err(broken(Failure::internal("the log ends before its head")))?;
                }
                let mut lines = BytesMut::new();
                for record in page.records.into_iter().take_while(|record| record.seq <= last) {
                    after = record.seq;
                    lines.put(record_line(record).map_err(broken)?);
                }
                yield lines.freeze();
                if after >= last {
                    return;
                }
            }
        };
        let lines: std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send>> =
            Box::pin(lines);
        Ok(Body::from_stream(lines))
    }

    pub async fn import(&self, context: &Context, name: Option<WorldName>, body: &[u8]) -> Result<World, Failure> {
        let caller = self.require_writer(context).await?;
        let text = str::from_utf8(body).map_err(|_| invalid(1, "is not UTF-8"))?;
        let mut lines = text.lines().enumerate().map(|(at, text)| (at + 1, text)).filter(|(_, text)| !text.is_empty());
        let (at, first) =
            lines.next().ok_or_else(|| invalid(1, "is missing: an export begins with a line that says what it is"))?;
        let head: Head = serde_json::from_str(first).map_err(|_| invalid(at, "does not say what this is"))?;
        if head.format != FORMAT || head.version > VERSION {
            return Err(invalid(at, "names another format, or a newer version of it"));
        }
        let (name, whole) = (name.unwrap_or(head.world_name), head.head);
        let mut import = Import::new(name.clone(), head.template_name.clone());
        let mut drafts = Vec::new();
        for (at, text) in lines {
            // A long log takes seconds, and others have their turn in between.
            consume_budget().await;
            let Line { seq, id, at_ms, event } =
                serde_json::from_str(text).map_err(|_| invalid(at, "is not a record of a log"))?;
            if seq != drafts.len() as u64 + 1 {
                return Err(invalid(at, "has a seq that does not follow the one before it, from 1"));
            }
            let mut event =
                Event::from_record(event.get().as_bytes()).map_err(|_| invalid(at, "holds no known event"))?;
            import.take(id, at_ms, &mut event).map_err(|reason| invalid(at, &reason))?;
            drafts.push(draft(id, at_ms, &event)?);
        }
        if drafts.is_empty() {
            return Err(invalid(at + 1, "is missing: a world has at least its creation"));
        }
        if whole.is_some_and(|head| head != drafts.len() as u64) {
            return Err(invalid(
                drafts.len() + 2,
                "is missing, or is one too many: the first line names another last seq",
            ));
        }
        let title = import.title();
        for event in import.end() {
            drafts.push(draft(Uuid::now_v7(), now_ms(), &event)?);
        }
        let entered = self
            .app
            .worlds
            .restore(caller.user.as_str(), &name, &head.template_name, head.persistent, title, drafts)
            .await?;
        world(&entered.cell).await
    }
}

fn draft(id: Uuid, at_ms: i64, event: &Event) -> Result<Draft, Failure> {
    Ok(Draft { id, at_ms, body: event.to_record().map_err(Failure::internal)?.into() })
}

fn line(value: &impl Serialize) -> Result<Bytes, Failure> {
    let mut text = serde_json::to_vec(value).map_err(Failure::internal)?;
    text.push(b'\n');
    Ok(text.into())
}

fn record_line(record: Record) -> Result<Bytes, Failure> {
    let body = String::from_utf8(record.body.to_vec()).map_err(Failure::internal)?;
    let event = RawValue::from_string(body).map_err(Failure::internal)?;
    line(&Line { seq: record.seq, id: record.id, at_ms: record.at_ms, event })
}

fn broken(failure: Failure) -> std::io::Error {
    failure.log();
    std::io::Error::other("the export cannot go on")
}

/// The import is refused; `line` counts from 1.
fn invalid(line: usize, reason: &str) -> Failure {
    let violation = Violation {
        pointer: format!("/{line}"),
        keyword: "import".to_owned(),
        limit: None,
        message: format!("line {line} {reason}"),
    };
    let details = ErrorDetails { errors: Some(Violations::trusted(vec![violation])), ..ErrorDetails::default() };
    Failure::new(ErrorCode::InvalidMessage, format!("the import is not valid: line {line} {reason}")).details(details)
}
