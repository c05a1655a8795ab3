//! The history of a world: as a page, or as a stream that goes on.

use axum::body::Body;

use super::{Context, Http, chat::next, sse};
use crate::{
    error::Failure,
    log::{Limit, Record},
    protocol::{
        AgentFilter, AgentName, Cursor, EncodedFrame, ErrorCode, EventFrames, EventKind, EventPage, EventTypesParam,
        UnresumableReason, WorldName,
    },
    world::{Entered, Event, Filter, Subscription, WorldCell, publish, storage, unresumable},
};

/// Records read at once while a page is filled.
const READ: Limit = Limit { records: 500, bytes: 4 * 1024 * 1024 };

/// Which events are meant.
pub struct Selection {
    pub types: Option<EventTypesParam>,
    pub agent: Option<AgentName>,
}

impl Selection {
    fn filter(&self) -> Filter {
        let named = self.types.as_ref().map(|types| types.as_str()).unwrap_or("message,world,sse");
        let kinds = named.split(',').filter_map(|kind| EventKind::ALL.iter().copied().find(|k| k.as_str() == kind));
        Filter::new(kinds, self.agent.clone().map(|agent| AgentFilter::trusted(vec![agent])))
    }
}

impl Http {
    pub async fn follow(
        &self,
        context: &Context,
        world: &WorldName,
        before: Option<Cursor>,
        after: Option<Cursor>,
        selection: Selection,
    ) -> Result<Body, Failure> {
        if before.is_some() {
            return Err(Failure::new(
                ErrorCode::InvalidMessage,
                "a stream goes on after a cursor: before is for pages",
            ));
        }
        let (caller, Entered { cell, presence }) = self.own(context, world).await?;
        let from = match &after {
            Some(after) => cell.check_resumable(after).await?,
            None => cell.hub.head(),
        };
        let mut subscription = Subscription::new(cell, selection.filter(), after.as_ref())?.start_after(from);
        let streams = self.counted_stream();
        let events = async_stream::stream! {
            let _here = (presence, streams);
            loop {
                let next = next(&mut subscription, None, false).await;
                for event in next.events {
                    yield event;
                }
                if next.over {
                    return;
                }
            }
        };
        Ok(sse::body(events, caller.revocation.clone(), self.shutdown.clone()))
    }

    pub async fn page(
        &self,
        context: &Context,
        world: &WorldName,
        before: Option<Cursor>,
        after: Option<Cursor>,
        limit: usize,
        selection: Selection,
    ) -> Result<EventPage, Failure> {
        let (_, entered) = self.own(context, world).await?;
        let cell = &entered.cell;
        let filter = selection.filter();
        let page = match (before, after) {
            (Some(_), Some(_)) => {
                return Err(Failure::new(ErrorCode::InvalidMessage, "give before or after, not both"));
            }
            (None, Some(after)) => forward(cell, cell.check_resumable(&after).await?, limit, &filter).await?,
            (Some(before), None) => backward(cell, cell.page_before(&before)?, limit, &filter).await?,
            (None, None) => backward(cell, cell.hub.head() + 1, limit, &filter).await?,
        };
        Ok(EventPage {
            events: EventFrames::trusted(page.frames),
            next: page.next.map(|seq| cell.cursor(seq)),
            prev: page.prev.map(|seq| cell.cursor(seq)),
            cursor: cell.head_cursor(),
        })
    }
}

struct Page {
    frames: Vec<EncodedFrame>,
    next: Option<u64>,
    prev: Option<u64>,
}

async fn forward(cell: &WorldCell, after: u64, limit: usize, filter: &Filter) -> Result<Page, Failure> {
    let mut frames = Vec::new();
    let mut at = after;
    let next = 'full: loop {
        let page = cell.services.log.read(cell.id, at, READ).await.map_err(storage)?;
        if page.floor > at {
            // It was dropped meanwhile.
            return Err(unresumable(UnresumableReason::Expired, cell.cursor(page.head)));
        }
        if page.records.is_empty() {
            break None;
        }
        for record in page.records {
            if frames.len() == limit {
                break 'full Some(at);
            }
            at = record.seq;
            frames.extend(frame(cell, &record, filter)?);
        }
    };
    let prev = (after > 0).then_some(after + 1);
    Ok(Page { frames, next, prev })
}

async fn backward(cell: &WorldCell, before: u64, limit: usize, filter: &Filter) -> Result<Page, Failure> {
    let mut frames = Vec::new();
    let mut at = before;
    let prev = 'full: loop {
        let page = cell.services.log.read_before(cell.id, at, READ).await.map_err(storage)?;
        if at == before && page.floor > 0 && before <= page.floor {
            return Err(unresumable(UnresumableReason::Expired, cell.cursor(page.head)));
        }
        if page.records.is_empty() {
            break None;
        }
        for record in page.records.iter().rev() {
            if frames.len() == limit {
                break 'full Some(at);
            }
            at = record.seq;
            frames.extend(frame(cell, record, filter)?);
        }
    };
    frames.reverse();
    let next = (before <= cell.hub.head()).then(|| before.saturating_sub(1));
    Ok(Page { frames, next, prev })
}

fn frame(cell: &WorldCell, record: &Record, filter: &Filter) -> Result<Option<EncodedFrame>, Failure> {
    let event = Event::from_record(&record.body).map_err(Failure::internal)?;
    let push = publish(&cell.name, record.seq, record.id, record.at_ms, &event);
    let push = push.filter(|push| filter.passes(push.kind, push.about.as_ref()));
    push.map(|push| {
        let text = String::from_utf8(push.bytes.to_vec()).map_err(Failure::internal)?;
        EncodedFrame::new(text).map_err(Failure::internal)
    })
    .transpose()
}
